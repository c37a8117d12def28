"""What a card says of itself: `im-clues.json` on its boot partition, written last. It holds no secret."""

import json
import os
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import msgspec

from im_client.flash.customise.hashing import slow_digest
from im_client.flash.node import Node
from infracore.secrets import Secret

__all__ = ["MARK", "Mark", "mark_of", "mark_text", "parse_mark"]

MARK: Final = "im-clues.json"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """Which image and which configuration a card holds."""

    hostname: str
    image: str
    """As the caller named it: a digest of the image tells best."""
    digest: str
    """Of the configuration, by a slow function (scrypt), for secrets are part of it."""
    salt: str
    """Hexadecimal."""
    host_key: str
    """The public half of the key that its sshd shows; "" where it makes its own."""

    def holds(self, node: Node, image: str) -> bool:
        """Say whether a card with this mark has this image and configuration. Blocks for a tenth of a second.

        The host key is not compared: a flash makes a new one. Compare `host_key` with what is recorded of it.
        """
        return self.image == image and self.digest == mark_of(node, image, bytes.fromhex(self.salt)).digest

    @property
    def instance(self) -> str:
        """An instance id for cloud-init, which is another one with another configuration."""
        return f"im-{self.hostname.lower()}-{self.digest[:16]}"


class _Mark(msgspec.Struct, frozen=True):
    im_clues: int
    hostname: str
    image: str
    digest: str
    salt: str
    host_key: str = ""


def mark_of(node: Node, image: str, salt: bytes | None = None) -> Mark:
    """Return the mark of a configuration, with a fresh salt where none is given. Blocks for a tenth of a second."""
    salt = salt or os.urandom(16)
    clear = msgspec.json.encode([_VERSION, replace(node, host_key=None)], enc_hook=_clear, order="sorted").decode()
    host_key = node.host_key.public if node.host_key else ""
    return Mark(node.hostname, image, slow_digest(clear, salt), salt.hex(), host_key)


def _clear(value: Any) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"no node holds a {type(value).__name__}")


def mark_text(mark: Mark) -> str:
    """Return the file."""
    return json.dumps({"im_clues": _VERSION, **asdict(mark)}, indent=1) + "\n"


def parse_mark(text: str) -> Mark | None:
    """Read the file; None where it is damaged or of another version, and the card is flashed anew."""
    try:
        raw = msgspec.json.decode(text, type=_Mark)
        bytes.fromhex(raw.salt)
    except (msgspec.DecodeError, ValueError):
        return None
    if raw.im_clues != _VERSION or len(raw.salt) < 16:
        return None
    return Mark(raw.hostname, raw.image, raw.digest, raw.salt, raw.host_key)
