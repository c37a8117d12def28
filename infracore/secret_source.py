"""Where a secret comes from: a file, the environment, or a credential of systemd; never the settings."""

import os
from pathlib import Path
from typing import Final

import msgspec

from infracore.errors import Misconfigured
from infracore.secrets import Secret

__all__ = ["SecretSource"]

_MOST_BYTES: Final = 64 * 1024


class SecretSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Exactly one of the three is set; all empty: there is no secret."""

    file: str = ""
    """Path; read anew at each use, so that a secret can be changed under a running daemon."""
    env: str = ""
    """Name of an environment variable."""
    credential: str = ""
    """Name under `$CREDENTIALS_DIRECTORY` (systemd's `LoadCredential=`)."""

    def __bool__(self) -> bool:
        return bool(self.file or self.env or self.credential)

    def check(self, what: str) -> None:
        """Refuse more than one source, and a credential's name that leaves its folder."""
        if sum(map(bool, (self.file, self.env, self.credential))) > 1:
            raise Misconfigured(f"{what}: more than one of file, env and credential", "keep one")
        if "/" in self.credential or self.credential in {".", ".."}:
            raise Misconfigured(f"{what}: {self.credential!r} is no name of a credential")

    def read(self, what: str) -> Secret:
        """Return the secret, without the line end that editors add.

        Raises:
            Misconfigured: no source, nothing there, unreadable, empty, or a file that others can read.
        """
        self.check(what)
        if self.env:
            text = os.environ.get(self.env, "")
            where = f"environment variable {self.env}"
        elif self.credential:
            folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
            if not folder:
                raise Misconfigured(f"{what}: not started by systemd with LoadCredential={self.credential}:PATH")
            where = f"credential {self.credential}"
            text = _text(Path(folder) / self.credential, what)
        elif self.file:
            where = self.file
            path = Path(self.file).expanduser()
            text = _text(path, what)
            if path.stat().st_mode & 0o007:
                raise Misconfigured(f"{what}: {path} is open to every user", f"run: chmod 600 {path}")
        else:
            raise Misconfigured(f"{what}: missing", "set file, env or credential below it")
        text = text.rstrip("\r\n")
        if not text or "\0" in text:
            raise Misconfigured(f"{what}: {where} holds no secret")
        return Secret(text)


def _text(path: Path, what: str) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            raise Misconfigured(f"{what}: {path} is larger than {_MOST_BYTES} bytes")
        return raw.decode()
    except OSError as error:
        raise Misconfigured(f"{what}: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Misconfigured(f"{what}: {path} is not UTF-8 text") from error
