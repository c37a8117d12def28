"""Hiding what looks like a secret in the outputs of a server, which says all of them in clear. Pure."""

import re
from typing import Any, Final

from infracore.secrets import MASK

__all__ = ["hidden"]

_NAME: Final = re.compile(r"pass(word|wd|phrase)?$|token$|secret|private_key|credential$|kubeconfig", re.IGNORECASE)
_TEXT: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")


def hidden(value: Any, name: str = "") -> Any:
    """Return a value with `***` for texts that are called like a secret, and for private keys."""
    if isinstance(value, dict):
        return {key: hidden(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [hidden(item, name) for item in value]
    is_secret = isinstance(value, str) and value and (_NAME.search(name) or _TEXT.search(value))
    return MASK if is_secret else value
