"""What is known of the Federated Cloud: from its information service, from the cache, or from files.

API: EGI-Federation/cloud-info-api (`GET /sites/?include_projects=true`, `/site/SITE/projects`,
`/site/SITE/VO/images`), as IM uses it. Nothing is sent there but the names of a site and a VO.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from im_client.auth.asking import Service
from im_client.providers.egi.site_files import read_sites
from im_client.providers.egi.sites import Site, SiteImage, find_site, of_vo, project_of
from infracore.clock import Clock
from infracore.errors import CommandFailed, InfraError, NotFound, TimedOut, Transient
from infracore.files import write_durably

__all__ = ["Information", "Place"]

_T = TypeVar("_T")
_FORM: Final = 1
"""Of the cache; another one is asked for anew."""


class _Project(msgspec.Struct):
    id: str
    name: str


class _Endpoint(msgspec.Struct):
    name: str
    url: str
    site_name: str = ""
    hostname: str = ""
    projects: list[_Project] | None = None


class _Image(msgspec.Struct):
    id: str
    egi_id: str = ""
    appdb_id: str = ""
    name: str = ""
    version: str = ""
    mpuri: str = ""
    vo: str = ""


class _Kept(msgspec.Struct):
    form: int
    source: str
    at: float
    said: Any


@dataclass(frozen=True, slots=True)
class Place:
    """Where the machines of a VO are made at a site."""

    site: Site
    project: str


class Information:
    """Sites and images. Safe under threads; what was learned is kept in the cache for `keep_s` seconds.

    Where the service does not answer, what was learned before counts however old it is; `notes` says so.
    """

    def __init__(
        self, service: Service, clock: Clock, *, sites_file: Path | None, cache_dir: Path | None, keep_s: float
    ) -> None:
        """With `sites_file` its sites are all that there are, and no service is asked for sites."""
        self._service = service
        self._clock = clock
        self._file = sites_file
        self._cache = cache_dir
        self._keep_s = keep_s
        self._lock = threading.Lock()
        self._sites: tuple[float, tuple[Site, ...]] | None = None
        self._notes: dict[str, str] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of where this comes from."""
        return tuple(self._notes.values())

    def sites(self) -> tuple[Site, ...]:
        """Return all sites. Raises as `Service.get`; Misconfigured: the file of sites is not usable."""
        with self._lock:
            if self._sites is None or self._clock.monotonic() - self._sites[0] > self._keep_s:
                self._sites = self._clock.monotonic(), self._all_sites()
            return self._sites[1]

    def place(self, site: str, vo: str) -> Place:
        """Return a site and the project of a VO there.

        Raises:
            NotFound: no such site, the VO is not supported there, or it has no project there.
        """
        sites = self.sites()
        found = find_site(sites, site, vo)
        return Place(found, project_of(found, vo, sites))

    def places(self, vo: str) -> tuple[Place, ...]:
        """Return all sites of a VO, in the order of the information. Raises NotFound: there is none."""
        return tuple(Place(site, site.projects[vo]) for site in of_vo(self.sites(), vo))

    def images(self, site: Site, vo: str) -> tuple[SiteImage, ...]:
        """Return the registry's images at a site; none where nothing is known of it. Raises as `Service.get`."""
        if self._file is not None:
            images = read_sites(self._file).images.get(site.name, ())
            return tuple(image for image in images if image.vo in {"", vo})
        path = f"/site/{quote(site.name, safe='')}/{quote(vo, safe='')}/images"
        try:
            said = self._asked(path, list[_Image])
        except NotFound:  # it publishes none
            return ()
        return tuple(
            SiteImage(
                egi_id=one.egi_id or one.appdb_id,
                id=_glance_id(one.id),
                name=one.name,
                version=one.version,
                mpuri=one.mpuri,
                vo=one.vo or vo,
            )
            for one in said
        )

    def _all_sites(self) -> tuple[Site, ...]:
        if self._file is not None:
            return read_sites(self._file).sites
        said = self._asked("/sites/?include_projects=true", list[_Endpoint])
        return tuple(self._site(one) for one in said)

    def _site(self, one: _Endpoint) -> Site:
        projects = one.projects
        if projects is None:  # the service of before 2026 knows no include_projects
            projects = self._asked(f"/site/{quote(one.name, safe='')}/projects", list[_Project])
        return Site(
            name=one.name,
            endpoint=one.url,
            projects={project.name: project.id for project in projects},
            gocdb=one.site_name,
            hostname=one.hostname,
        )

    def _asked(self, path: str, kind: type[_T]) -> _T:
        """Return what the cache says, while it is fresh, else the service; an old answer is better than none."""
        file = self._cache / f"{quote(path.strip('/'), safe='')[:200]}.json" if self._cache is not None else None
        source = f"{self._service.http.address}{path}"
        kept = self._read(file, source, kind) if file is not None else None
        if kept is not None and 0 <= self._clock.now() - kept[0] < self._keep_s:
            return kept[1]
        try:
            said = self._service.get(path, kind)
        except (Transient, TimedOut, CommandFailed) as error:
            if kept is None:
                raise _hinted(error) from error
            age_h = (self._clock.now() - kept[0]) / 3600
            self._notes[path] = f"{error.message}; what it said {age_h:.1f} hours ago is used"
            return kept[1]
        self._notes.pop(path, None)
        if file is not None:
            entry = _Kept(_FORM, source, self._clock.now(), msgspec.to_builtins(said))
            _ignoring_full_disk(lambda: _write(file, msgspec.json.encode(entry)))
        return said

    def _read(self, file: Path, source: str, kind: type[_T]) -> tuple[float, _T] | None:
        """Return when the cache was written and what it says; None where it says nothing that can be used."""
        try:
            kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
            if kept.form != _FORM or kept.source != source:
                return None
            return kept.at, msgspec.convert(kept.said, kind)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None


def _glance_id(text: str) -> str:
    """Return the id in the site's glance; older answers are addresses such as `https://HOST/...#ID`."""
    return text.rpartition("/")[2].rpartition("#")[2]


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_durably(file, content)


def _ignoring_full_disk(write: Callable[[], None]) -> None:
    """A cache that cannot be written costs time, and fails nothing."""
    try:
        write()
    except OSError:
        return


def _hinted(error: InfraError) -> InfraError:
    hint = "without the service: a file of sites (setting sites_file), see docs/howto/egi.md"
    if isinstance(error, Transient):
        return Transient(error.message, hint, error.retry_after_s)
    return type(error)(error.message, hint)
