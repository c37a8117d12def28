"""Credentials for another Infrastructure Manager, and the addresses that they are sent to."""

from typing import Final

from im_client.auth.authfile import GROUP_MAY, parse_auth, private_text
from infracore.errors import InvalidUsage, Misconfigured, Unauthorised
from infracore.http import Address, parse_address
from infracore.im_rest import authorization
from infracore.secrets import Secret

__all__ = ["TOKEN_VARIABLE", "cloud_ids", "credentials", "safe_address"]

TOKEN_VARIABLE: Final = "IM_TOKEN"  # noqa: S105 - its name
_NO_CLOUDS: Final = frozenset({"InfrastructureManager", "VMRC", "Vault"})


def safe_address(url: str, what: str, *, insecure_http: bool) -> Address:
    """Read the address of a server that credentials are sent to.

    Raises:
        Misconfigured: it is none, or without TLS and not of this computer, and that is not allowed.
    """
    address = parse_address(url, what)
    if not address.is_tls and not address.is_loopback and not insecure_http:
        raise Misconfigured(
            f"{address} has no TLS: anybody on the way could read your credentials",
            "use https; where the network is your own, --insecure-http allows it (setting insecure_http)",
        )
    return address


def credentials(auth_file: str, token_file: str, token: str) -> Secret:
    """Return the Authorization header: of an auth file, of a token, or of both.

    Raises:
        Unauthorised: there is neither. Misconfigured: a file is not usable; no message quotes it.
    """
    if token_file and not token:
        token = private_text(token_file, "token file", barred=GROUP_MAY).strip()
        if not token:
            raise Misconfigured(f"the token file {token_file} is empty")
    if any(not 32 < ord(letter) < 127 for letter in token):
        raise Misconfigured("the token holds a blank or a character that no token has", "one token, in one line")
    if not auth_file:
        if not token:
            raise Unauthorised(
                "there are no credentials for the server",
                f"--auth-file FILE (lines of type InfrastructureManager and of clouds), --token-file FILE, or "
                f"{TOKEN_VARIABLE} in the environment",
            )
        return authorization(f"Bearer {token}")
    text = private_text(auth_file, "auth file")
    found = parse_auth(text, auth_file)
    if not token:
        return authorization(text)
    if any(one.type == "InfrastructureManager" for one in found):
        raise InvalidUsage(
            f"{auth_file} has a line of type InfrastructureManager, and there is a token too", "leave one of them out"
        )
    if text.lstrip().startswith("["):
        raise Misconfigured(f"{auth_file} is a JSON list, to which no token is added", "write it in lines")
    return authorization(f"type = InfrastructureManager; token = {token}\n{text}")


def cloud_ids(auth_file: str) -> tuple[str, ...]:
    """Return the ids of the clouds in an auth file, in its order; "" for the file: none.

    Raises:
        Misconfigured: the file is not usable.
    """
    if not auth_file:
        return ()
    found = parse_auth(private_text(auth_file, "auth file"), auth_file)
    return tuple(dict.fromkeys(one.id for one in found if one.id and one.type not in _NO_CLOUDS))
