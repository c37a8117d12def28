"""A value that never prints itself, and the seal under which secrets rest on disk."""

import base64
import functools
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from infracore.errors import Misconfigured

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

__all__ = ["MASK", "Seal", "Secret", "redact"]

MASK: Final = "***"


class Secret:
    """A piece of secret text; `reveal()` is the only way to read it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text. The caller must not log, print or store it in clear."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, _spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is not pickled")


def redact(text: str, secrets: "list[Secret] | tuple[Secret, ...]") -> str:
    """Replace every occurrence of each secret of four characters or more by `***`."""
    for secret in sorted((s.reveal() for s in secrets), key=len, reverse=True):
        if len(secret) >= 4:
            text = text.replace(secret, MASK)
    return text


class Seal:
    """Encrypts what rests on disk with a key file of the user's own.

    The cipher is Fernet (AES-128-CBC with HMAC-SHA256) of the `cryptography` library.
    """

    def __init__(self, key: bytes) -> None:
        """Take a key: 32 bytes in URL-safe base64. The cipher is loaded (6 MB, 20 ms) when it is first used.

        Raises:
            ValueError: it is no key.
        """
        if len(base64.urlsafe_b64decode(key)) != 32:
            raise ValueError("it is no key of 32 bytes in base64")
        self._key = key

    @functools.cached_property
    def _fernet(self) -> "Fernet":
        from cryptography.fernet import Fernet

        return Fernet(self._key)

    @classmethod
    def from_file(cls, path: Path) -> "Seal":
        """Open the key file, making it (mode 0600) on first use.

        Processes and threads that start at once agree on one key: the file is linked into place whole.

        Raises:
            Misconfigured: the file is unreadable, not a key, or open to others.
        """
        try:
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
                fresh = Path(name)
                with os.fdopen(fd, "wb") as out:
                    out.write(base64.urlsafe_b64encode(os.urandom(32)))
                    out.flush()
                    os.fsync(out.fileno())
                try:
                    os.link(fresh, path)
                except FileExistsError:
                    pass
                finally:
                    fresh.unlink()
            if path.stat().st_mode & 0o077:
                raise Misconfigured(f"the key file {path} can be read by others", f"run: chmod 600 {path}")
            return cls(path.read_bytes().strip())
        except (OSError, ValueError) as error:
            raise Misconfigured(
                f"cannot use the key file {path}: {error}",
                "restore it from a backup; without it the secrets of existing infrastructures are lost",
            ) from error

    def close(self, clear: str) -> bytes:
        """Encrypt text."""
        return self._fernet.encrypt(clear.encode())

    def open(self, sealed: bytes) -> str:
        """Decrypt what `close` made.

        Raises:
            Misconfigured: the key is another one, or the bytes were changed.
        """
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken as error:
            raise Misconfigured(
                "a stored secret does not open with this key file",
                "the key file was replaced: restore the one that the state was made with",
            ) from error
