"""The answer to an HTTP digest challenge (RFC 7616), as Shelly plugs from the second generation on ask for it. Pure."""

import hashlib
from typing import Final
from urllib.request import parse_http_list, parse_keqv_list

from infracore.errors import Unauthorised
from infracore.secrets import Secret

__all__ = ["digest_answer"]

_HASHES: Final = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}


def digest_answer(challenge: str, method: str, uri: str, user: str, password: Secret, nonce: str) -> str:  # noqa: PLR0917
    """Return the header `Authorization` for one request; `nonce` is the client's, new each time.

    Raises:
        Unauthorised: the challenge is none of digest's, or asks for what is not spoken here (`auth-int`, SHA-512-256).
    """
    scheme, _, rest = challenge.partition(" ")
    try:
        said = parse_keqv_list(parse_http_list(rest))
        realm, server_nonce = said["realm"], said["nonce"]
        make = _HASHES[said.get("algorithm", "MD5").upper()]
        is_spoken = scheme.lower() == "digest" and "auth" in said["qop"].replace(" ", "").split(",")
    except (KeyError, ValueError) as error:
        raise Unauthorised(f"it asks for a password in a way that is not understood: {challenge[:120]!r}") from error
    if not is_spoken:
        raise Unauthorised(f"it asks for a password in a way that is not understood: {challenge[:120]!r}")

    def hashed(*parts: str) -> str:
        return make(":".join(parts).encode()).hexdigest()

    count = "00000001"
    asked = hashed(hashed(user, realm, password.reveal()), server_nonce, count, nonce, "auth", hashed(method, uri))
    words = {"username": user, "realm": realm, "nonce": server_nonce, "uri": uri, "response": asked, "cnonce": nonce}
    text = ", ".join(f'{key}="{_escaped(value)}"' for key, value in words.items())
    opaque = f', opaque="{_escaped(said["opaque"])}"' if "opaque" in said else ""
    return f"Digest {text}, qop=auth, nc={count}, algorithm={said.get('algorithm', 'MD5')}{opaque}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
