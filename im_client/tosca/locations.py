"""What a name in a template points at: one of our own files, an https address, a path, a part of an archive.

Nothing is read here. A template that came over https can name https addresses only, so that it never reaches a
file of the computer that reads it; the reader has the last word on paths.
"""

import os
import posixpath
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

from infracore.content import content_folder, content_path

__all__ = ["INSIDE", "SENT", "Origin", "Refused", "Target", "folder_of_types", "locate", "locate_artifact", "own_types"]

INSIDE: Final = "!/"
"""Separates an archive's location from a name inside of it: `app.csar!/definitions/app.yaml`."""

_CATALOGUE: Final = re.compile(
    r"https://(?:raw\.githubusercontent\.com/grycap/tosca/(?:refs/(?:heads|tags)/)?"
    r"|github\.com/grycap/tosca/(?:raw|blob)/(?:refs/(?:heads|tags)/)?)"
    r"(?P<branch>[^/?#]+)/(?P<path>[^?#]+?)(?:\?[^#]*)?"
)
_TYPES: Final = "tosca_templates/types"
SENT: Final = "https://template.invalid/"
"""Where templates stand that somebody sent to a server; RFC 2606 keeps `.invalid` free of hosts."""
_OUR_PLAYBOOK: Final = re.compile(r"(?:\.\./){1,3}playbooks/[\w-]+\.yml", re.ASCII)
"""A playbook as our own templates say it: these are sent to servers too, without what lies beside them."""


class Origin(Enum):
    """Who vouches for a file."""

    CONTENT = "content"
    """Ours: installed with this program."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Target:
    """A resolved location."""

    location: str
    origin: Origin


class Refused(Exception):
    """The name must not be followed; the text says why."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def folder_of_types() -> str:
    """Return the folder of our type definitions, with a slash at its end."""
    return f"{content_folder() / _TYPES}/"


def locate(said: str, base: str) -> Target:
    """Resolve an import that the file at `base` says.

    Raises:
        Refused: http without TLS, an unknown scheme, a path from a file that came over https.
    """
    catalogue = _CATALOGUE.fullmatch(said)
    if catalogue is not None:
        name = posixpath.basename(catalogue["path"])
        ours = content_path(f"{_TYPES}/{name}") or content_path(f"tosca_templates/{name}")
        if ours is not None:
            return Target(str(ours), Origin.CONTENT)
    return _resolve(said, base)


def locate_artifact(said: str, base: str) -> Target:
    """Resolve an implementation that the file at `base` says; our own type files speak of `playbooks/...`.

    Raises:
        Refused: as `locate`.
    """
    catalogue = _CATALOGUE.fullmatch(said)
    if catalogue is not None:
        ours = content_path(f"playbooks/{catalogue['path'].removeprefix('artifacts/')}")
        if ours is not None:
            return Target(str(ours), Origin.CONTENT)
    if "://" not in said and base.startswith(folder_of_types()):
        ours = content_path(said)
        return Target(str(ours or content_folder() / said), Origin.CONTENT)
    if base.startswith(SENT) and _OUR_PLAYBOOK.fullmatch(said):
        ours = content_path(said.lstrip("./"))
        if ours is not None:
            return Target(str(ours), Origin.CONTENT)
    return _resolve(said, base)


def _resolve(said: str, base: str) -> Target:
    scheme = said.split("://", 1)[0].lower() if "://" in said else ""
    if scheme == "https":
        return Target(said, Origin.OTHER)
    if scheme == "http":
        raise Refused(f"{said} would come without TLS, and anybody on the way could change it", "use https")
    if scheme == "file":
        said = unquote(urlsplit(said).path)
    elif scheme:
        raise Refused(f"{said} has the unknown scheme {scheme}", "use https, or a path")
    if "\0" in said or "\n" in said:
        raise Refused("the name holds a character that no file name has")
    if base.startswith("https://"):
        if scheme or said.startswith("/"):
            raise Refused(f"{said} is a path of this computer, and {base} came over the network", "use https")
        return Target(urljoin(base, said), Origin.OTHER)
    archive, inside, name = base.partition(INSIDE)
    if inside:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), said))
        if said.startswith("/") or path.startswith(".."):
            raise Refused(f"{said} lies outside of the archive {posixpath.basename(archive)}")
        return Target(f"{archive}{INSIDE}{path}", Origin.OTHER)
    path = posixpath.normpath(posixpath.join(posixpath.dirname(base), said))
    ours = content_path(f"{_TYPES}/{posixpath.basename(path)}")
    if ours is not None and os.path.realpath(path) == str(ours):
        return Target(str(ours), Origin.CONTENT)
    return Target(path, Origin.OTHER)


def own_types(said: str) -> Target | None:
    """Return our type file of a name, for a template that has no such file beside it.

    The name is plain (`custom_types.yaml`), or as our own templates say it (`types/custom_types.yaml`): these are sent
    to servers too, without what lies beside them.
    """
    name = said.removeprefix("types/")
    if "/" in name or "\0" in name:
        return None
    ours = content_path(f"{_TYPES}/{name}")
    return None if ours is None else Target(str(ours), Origin.CONTENT)
