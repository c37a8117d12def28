"""What of a secret may lie on a card: slow hashes, and a wireless network's key."""

import hashlib
import re
from typing import Final

import bcrypt

from infracore.errors import Misconfigured
from infracore.secrets import Secret

__all__ = ["hash_password", "slow_digest", "wifi_key"]

_ROUNDS: Final = 12
"""2^12 rounds of bcrypt: a third of a second on a core of 2024, and some seconds on the oldest board."""
_MOST_BYTES: Final = 72


def hash_password(password: Secret, rounds: int = _ROUNDS) -> str:
    """Return a hash for /etc/shadow, with a fresh salt: bcrypt (`$2b$`), which libxcrypt and musl read (crypt(5)).

    Blocks for some tenths of a second. Python 3.13 has no `crypt`, and sha512crypt, which `openssl passwd -6` makes, is
    guessed a hundred times as fast.

    Raises:
        Misconfigured: it is empty or longer than 72 bytes, which bcrypt does not take.
    """
    clear = password.reveal().encode()
    if not 0 < len(clear) <= _MOST_BYTES:
        raise Misconfigured(f"a password has 1 to {_MOST_BYTES} bytes", "take another, or give password_hash")
    return bcrypt.hashpw(clear, bcrypt.gensalt(rounds)).decode()


def wifi_key(ssid: str, passphrase: Secret) -> str:
    """Return the key of a WPA2 network as 64 hexadecimal digits (IEEE 802.11-2020, J.4.1: PBKDF2 of HMAC-SHA1).

    It lets into this network, and the passphrase cannot be read from it.
    """
    clear = passphrase.reveal()
    if re.fullmatch(r"[0-9a-fA-F]{64}", clear):
        return clear.lower()
    return hashlib.pbkdf2_hmac("sha1", clear.encode(), ssid.encode(), 4096, 32).hex()


def slow_digest(text: str, salt: bytes) -> str:
    """Return a digest that tells whether a text is the same, and from which a secret in it cannot be guessed soon."""
    return hashlib.scrypt(text.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32).hex()
