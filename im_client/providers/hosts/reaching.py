"""Whether a host answers, what its addresses are, and what restarts it or turns it off."""

import ipaddress
import socket

from im_client.providers.hosts.host import Host
from im_client.remote.access import Access

__all__ = ["addresses", "answers", "command_as_root"]


def answers(access: Access, timeout_s: float) -> bool:
    """Look whether the SSH port answers; behind a jump host only a login could tell, and it is taken to."""
    if access.jump is not None:
        return True
    try:
        with socket.create_connection((access.address, access.port), timeout=timeout_s):
            return True
    except OSError:
        return False


def command_as_root(access: Access, words: str) -> tuple[str, str]:
    """Return a command line, and its standard input, that lets root do something a second after the login ended."""
    sudo, stdin = "", ""
    if access.become:
        sudo = "sudo -n " if access.become_password is None else "sudo -S -p '' "
        stdin = "" if access.become_password is None else access.become_password.reveal() + "\n"
    return f"{sudo}sh -c '(sleep 1; {words}) >/dev/null 2>&1 &'", stdin


def addresses(host: Host) -> tuple[str | None, str | None]:
    """Return the private and the public address; a name is looked up, since playbooks write addresses to files."""
    address = host.access.address
    try:
        is_public = ipaddress.ip_address(address).is_global
    except ValueError:
        try:
            address = str(socket.getaddrinfo(address, host.access.port, type=socket.SOCK_STREAM)[0][4][0])
            is_public = ipaddress.ip_address(address).is_global
        except (OSError, ValueError):
            is_public = False
    private = host.private_address or (None if is_public and host.public_address is None else address)
    public = host.public_address or (address if is_public else None)
    return private or public, public
