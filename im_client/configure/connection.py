"""How Ansible logs in to a machine: an `Access` as connection variables."""

from collections.abc import Mapping

from im_client.configure.model import Host
from im_client.inventory.build import Entry
from im_client.remote.access import Access
from im_client.remote.options import Files, connection_options, destination
from im_client.topology.values import Value

__all__ = ["connection_variables", "export_entry"]


def connection_variables(
    access: Access, files: Files, *, connect_timeout_s: float, control_path: str
) -> dict[str, Value]:
    """Return the variables, writing keys and host keys into `files`.

    `control_path` is the machine's own: Ansible's default has the address alone in its name, and machines behind two
    jump hosts may have one address.

    Raises:
        Misconfigured: the host key is not known, or address or user are no such thing.
    """
    destination(access)
    options = connection_options(access, files, connect_timeout_s=connect_timeout_s)
    variables: dict[str, Value] = {
        **_plain(access),
        "ansible_connection": "ssh",
        "ansible_control_path": control_path,
        "ansible_ssh_common_args": " ".join(_quoted(word) for word in options),
    }
    if access.private_key is not None:
        variables["ansible_ssh_private_key_file"] = str(files.key(access.private_key))
    if access.password is not None:
        variables["ansible_password"] = access.password
        variables["ansible_ssh_password_mechanism"] = "ssh_askpass"  # noqa: S105 - the name of a mechanism
    if access.become_password is not None:
        variables["ansible_become_password"] = access.become_password
    return variables


def export_entry(host: Host) -> Entry:
    """Return a machine for `im inventory`: how to reach it, its plain variables, no secret."""
    variables = {k: v for k, v in host.variables.items() if v is not None}
    return Entry(host.name, (host.group,), {**_plain(host.access), **variables})


def _plain(access: Access) -> Mapping[str, Value]:
    variables: dict[str, Value] = {
        "ansible_host": access.address,
        "ansible_port": access.port,
        "ansible_user": access.user,
        "ansible_python_interpreter": access.python,
    }
    if access.private_key_file is not None:
        variables["ansible_ssh_private_key_file"] = access.private_key_file
    if access.become:
        variables["ansible_become"] = True
    return variables


def _quoted(word: str) -> str:
    """Quote a word as Ansible splits options again (shlex with POSIX rules)."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' if any(c in word for c in " '\"\\") else word
