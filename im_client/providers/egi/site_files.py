"""Sites in files: those of fedcloudclient (`~/.config/fedcloud/site-config`), with images besides.

A file holds one site or a list of them, in YAML or JSON; a folder holds such files. The keys are those of EGI's
`fedcloud-catchall-operations` (its README and `schema.json`); what we do not use of a site is left alone there, for
site managers add keys as they like. docs/howto/egi.md has an example.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from im_client.providers.egi.sites import Site, SiteImage
from infracore.errors import Misconfigured
from infracore.yaml_text import load_yaml

__all__ = ["SitesFound", "read_sites"]

_MOST_BYTES: Final = 4 * 2**20
_MOST_FILES: Final = 500
_ENDINGS: Final = frozenset({".yaml", ".yml", ".json"})


class _Auth(msgspec.Struct):
    project_id: str = ""


class _Vo(msgspec.Struct):
    name: str
    auth: _Auth = msgspec.field(default_factory=_Auth)


class _Image(msgspec.Struct, forbid_unknown_fields=True):
    egi_id: str
    id: str
    name: str = ""
    version: str = ""
    mpuri: str = ""
    vo: str = ""


class _Site(msgspec.Struct):
    gocdb: str
    endpoint: str
    protocol: str = ""
    identity_provider: str = ""
    region: str = ""
    vos: tuple[_Vo, ...] = ()
    images: Any = ()
    """A list of images; in EGI's own files a mapping that says whether they are kept in step."""


@dataclass(frozen=True, slots=True)
class SitesFound:
    """Sites, and the images of those of which the images are known. Site -> images."""

    sites: tuple[Site, ...]
    images: Mapping[str, tuple[SiteImage, ...]]


def read_sites(path: Path) -> SitesFound:
    """Read a file, or the files of a folder in the order of their names.

    Raises:
        Misconfigured: it cannot be read, or is not of this form; the message names the file and the value.
    """
    sites: list[Site] = []
    images: dict[str, tuple[SiteImage, ...]] = {}
    for file in _files(path):
        for number, said in enumerate(_entries(file), start=1):
            try:
                one = msgspec.convert(said, _Site, strict=False)
                kept = msgspec.convert(one.images, tuple[_Image, ...]) if isinstance(one.images, Sequence) else ()
            except msgspec.ValidationError as error:
                raise Misconfigured(
                    f"{file}, site {number}: {error}", "a site has gocdb, endpoint and vos; see docs/howto/egi.md"
                ) from None
            sites.append(_site(one))
            if kept:
                images[one.gocdb] = tuple(SiteImage(**msgspec.structs.asdict(image)) for image in kept)
    if not sites:
        raise Misconfigured(f"there are no sites in {path}", "files of it end in .yaml, .yml or .json")
    return SitesFound(tuple(sites), images)


def _site(one: _Site) -> Site:
    return Site(
        name=one.gocdb,
        endpoint=one.endpoint,
        projects={vo.name: vo.auth.project_id for vo in one.vos},
        protocol=one.protocol,
        identity_provider=one.identity_provider,
        region=one.region,
    )


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(one for one in path.iterdir() if one.suffix in _ENDINGS and one.is_file())
    if len(files) > _MOST_FILES:
        raise Misconfigured(f"{path} has more than {_MOST_FILES} files")
    return files


def _entries(file: Path) -> list[Any]:
    try:
        if file.exists() and not file.is_file():  # a pipe would be waited for
            raise Misconfigured(f"{file} is not a regular file")
        with file.open("rb") as open_file:
            raw = open_file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise Misconfigured(f"cannot read the sites of {file}: {error.strerror}") from error
    if len(raw) > _MOST_BYTES:
        raise Misconfigured(f"{file} is larger than {_MOST_BYTES >> 20} MiB")
    try:
        said = load_yaml(raw.decode())
    except (yaml.YAMLError, ValueError) as error:
        raise Misconfigured(f"{file} is no YAML: {' '.join(str(error).split())[:300]}") from None
    return said if isinstance(said, list) else [said]
