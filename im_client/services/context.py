"""What every use case works with: settings, the store, the clock, and providers opened once."""

import functools
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from im_client.auth.authfile import read_auth_file
from im_client.auth.credentials import Credential
from im_client.providers.base import Provider
from im_client.providers.cloud.lent import Lent
from im_client.providers.registry import cloud_of, cloud_types, is_cloud, line_of, names, places
from im_client.providers.registry import provider as make_provider
from im_client.services.analysis import analyse
from im_client.services.templates import FileReader
from im_client.settings import Settings, database_url, load_settings
from im_client.state.lock import FileLocks
from im_client.state.locks import Locks
from im_client.state.sqlite import SqliteStore
from im_client.state.store import Store
from im_client.template.analysis import Analysis, Reader
from im_client.topology.values import Value
from infracore.clock import Clock, SystemClock
from infracore.errors import InvalidUsage, Misconfigured, Unauthorised
from infracore.secrets import Seal

__all__ = ["LENT", "Context", "auth_lines", "choose_provider", "open_context", "provider_kind", "provider_settings"]

LENT: Final = "@"
"""Stands between id and account in the site of a caller's line, `mine@ana`: no other site or id has it."""

_IN_STATE_DIR: Final = frozenset({"existing", "fake", "im", "raspberry_pi"})
"""Providers that keep their own records with ours; `local` has one folder (and one bridge) a computer."""
_IN_CACHE_DIR: Final = frozenset({"egi"})
"""Providers that keep for a while what a service told them."""


@dataclass(frozen=True)
class Context:
    """The surroundings of one command. Safe under threads."""

    settings: Settings
    store: Store
    seal: Seal
    clock: Clock
    cwd: Path
    locks: Locks
    analyse: Callable[..., Analysis] = analyse
    """Reads templates: `im_client.services.analysis.analyse`, or what a server puts in its place."""
    make_reader: Callable[[], Reader] | None = None
    """Makes readers for whom local files are not to be read; None: `FileReader`."""
    credentials: Callable[[], Sequence[Credential]] = tuple
    """Return the lines of the auth file for clouds; read when a cloud is first opened."""
    lent: Mapping[str, Credential] = field(default_factory=dict)
    """Site -> the line that a caller of a server has lent for one request or operation; see `lending`."""
    base: "Context | None" = None
    """The context that lines were lent to: it opens all other providers."""
    needs_known_clouds: bool = True
    """Whether a template may only name clouds that are known; a server that offers none has always passed over them."""
    trusts_values: bool = True
    """Whether Ansible may evaluate expressions in inputs; a server's callers are not trusted with it."""
    _providers: dict[tuple[str, str], Provider] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def runs(self) -> Path:
        """The folder of the runs' logs, one folder a run."""
        return self.settings.state_dir / "runs"

    def reader(self) -> Reader:
        """Return a reader of templates with this context's cache."""
        if self.make_reader is not None:
            return self.make_reader()
        return FileReader(self.settings.cache_dir, offline=self.settings.ansible.offline)

    def provider(self, name: str, settings: Mapping[str, Value] | None = None) -> Provider:
        """Return the provider of a name, of a site, or of a line of the auth file.

        Its settings are overlaid with the infrastructure's own.

        Raises:
            InvalidUsage: no provider, site or line has this name. Misconfigured: a setting is wrong.
        """
        if self.base is not None and name not in self.lent:
            return self.base.provider(name, settings)
        kind, merged = self._found(name, settings)
        key = (name, repr(sorted(merged.items())))
        with self._lock:
            if key not in self._providers:
                self._providers[key] = self._open(name, kind, merged)
            return self._providers[key]

    def _open(self, name: str, kind: str, settings: Mapping[str, Value]) -> Provider:
        if name in self.lent:
            return make_provider(kind, settings, (self.lent[name],), Lent(self.settings.server.cloud_hosts))
        return make_provider(kind, settings, self.credentials() if is_cloud(kind) else ())

    def places(self, name: str) -> tuple[str, ...]:
        """Return the sites that a name stands for, in order: itself, save for a line of the auth file for several.

        Raises:
            NotFound, Transient, Unauthorised, Misconfigured: they cannot be had.
        """
        if name in names() or name in self.settings.sites or name in self.lent:
            return (name,)
        line = line_of(name, self.credentials())
        if line is None:
            return (name,)
        return places(name, provider_settings(self.settings, line[0]), self.credentials()) or (name,)

    def lending(self, lines: Mapping[str, Credential]) -> "Context":
        """Return a context for one caller, where each of these sites is opened with that line and no other.

        What is opened with them is this context's alone, and ends with `close_lent`.
        """
        base = self.base or self
        return replace(base, lent=dict(lines), base=base, _providers={}, _lock=threading.Lock()) if lines else base

    def close_lent(self) -> None:
        """Close what was opened with lent lines."""
        if self.base is not None:
            with self._lock:
                for provider in self._providers.values():
                    provider.close()
                self._providers.clear()

    def site_of(self, name: str) -> str:
        """Return the site that a template means by a name: a caller's own line before anything unknown."""
        if name in names() or name in self.settings.sites:
            return name
        return next((site for site, line in self.lent.items() if line.id == name), name)

    def kind(self, name: str) -> str:
        """Return the provider that stands behind a name, a site, or a line of the auth file.

        Raises:
            InvalidUsage, Misconfigured: as `provider`.
        """
        return self._found(name)[0]

    def _found(self, name: str, own: Mapping[str, Value] | None = None) -> tuple[str, dict[str, Value]]:
        """Return the provider behind a name, and what it is opened with."""
        if name in self.lent:
            line = self.lent[name]
            kind, chosen = line_of(line.id, (line,)) or (cloud_of(line.type) or "", {})
            return kind, {**provider_settings(self.settings, kind, own), **chosen}
        if LENT in name:
            ident, _, account = name.partition(LENT)
            raise Unauthorised(
                f"the cloud {ident!r} needs a credential of {account}, which did not come along and is not kept",
                f"repeat it as {account} with the line id = {ident}, or put the line into the vault",
            )
        return choose_provider(self.settings, self.credentials, name, own)

    def close(self) -> None:
        """Close the providers, the locks and the store."""
        for provider in self._providers.values():
            provider.close()
        self.locks.close()
        self.store.close()


def choose_provider(
    settings: Settings,
    credentials: Callable[[], Sequence[Credential]],
    name: str,
    own: Mapping[str, Value] | None = None,
) -> tuple[str, dict[str, Value]]:
    """Return the provider behind a name, of a provider, a site or a line of the auth file, and what it is opened with.

    Raises:
        InvalidUsage: no provider, site or line has this name. Misconfigured: a site is set up wrongly.
    """
    if name not in names() and name not in settings.sites:
        lines = credentials()
        line = line_of(name, lines)
        if line is not None:
            return line[0], {**provider_settings(settings, line[0], own), **line[1]}
        if _auth_file(settings) != Path():
            raise _no_line(settings, name, lines)
    return provider_kind(settings, name), provider_settings(settings, name, own)


def _no_line(settings: Settings, name: str, lines: Sequence[Credential]) -> InvalidUsage:
    """Say what stands in the auth file instead of a line for a cloud with this id."""
    file = _auth_file(settings)
    other = next((line for line in lines if line.id == name), None)
    if other is not None:
        return InvalidUsage(
            f"there is no provider {name!r}: the line with this id in the auth file {file} is of type "
            f"{other.type!r}, which is for no cloud",
            f"types of clouds: {', '.join(cloud_types())}",
        )
    ids = [line.id for line in lines if line.id and cloud_of(line.type) is not None]
    there = f"has lines for: {', '.join(ids)}" if ids else "has no line for a cloud with an id"
    return InvalidUsage(
        f"there is no provider {name!r}, nor a line with this id in the auth file {file}",
        f"known: {_known(settings)}; the auth file {there}",
    )


def _known(settings: Settings) -> str:
    sites = f"; sites: {', '.join(sorted(settings.sites))}" if settings.sites else ""
    return f"{', '.join(names())}{sites}"


def _auth_file(settings: Settings) -> Path:
    """Return the file with credentials for clouds; `Path()`: none."""
    return settings.auth_file if settings.auth_file != Path() else settings.remote.auth_file


def auth_lines(settings: Settings) -> Sequence[Credential]:
    """Read the auth file with credentials for clouds, where the settings name one."""
    file = _auth_file(settings)
    return read_auth_file(file) if file != Path() else ()


def provider_kind(settings: Settings, name: str) -> str:
    """Return the provider that stands behind a name: of a site, else of the provider itself.

    Raises:
        InvalidUsage: no provider and no site has this name. Misconfigured: a site is set up wrongly.
    """
    known = names()
    site = settings.sites.get(name)
    if site is None:
        if name in known:
            return name
        raise InvalidUsage(f"there is no provider {name!r}", f"known: {_known(settings)}")
    hint = "run: im config show --origin"
    if name in known:
        raise Misconfigured(f"the site {name!r} has the name of a provider", hint)
    if site.get("provider") not in known:
        raise Misconfigured(f"the site {name!r} needs a provider: {', '.join(known)}", hint)
    return str(site["provider"])


def provider_settings(settings: Settings, name: str, own: Mapping[str, Value] | None = None) -> dict[str, Value]:
    """Return what a provider is opened with: the settings' table for it, then the site's, then an infrastructure's."""
    kind = provider_kind(settings, name)
    site = {key: value for key, value in settings.sites.get(name, {}).items() if key != "provider"}
    merged = {**settings.providers.get(kind, {}), **site, **(own or {})}
    if kind in _IN_CACHE_DIR:
        merged.setdefault("cache_dir", str(settings.cache_dir / kind))
    if kind in _IN_STATE_DIR:
        merged.setdefault("state_dir", str(settings.state_dir / "providers" / name))
    if kind == "raspberry_pi":
        from im_client.configure.program import find_program

        merged.setdefault("flash_dir", str(settings.state_dir / "raspberry_pi"))
        merged.setdefault("ansible_inventory", str(Path(find_program(settings.ansible)).with_name("ansible-inventory")))
    return merged


@contextmanager
def open_context(
    *,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    clock: Clock | None = None,
) -> Iterator[Context]:
    """Load the settings, open the store, and close all at the end.

    Raises:
        Misconfigured: a setting, the state folder or the key file is not usable.
    """
    environ = os.environ if environ is None else environ
    folder = cwd or Path.cwd()
    settings = load_settings(overrides=overrides or {}, environ=environ, cwd=folder).value
    if (
        not database_url(settings)
        and (settings.state_dir / "state.db").exists()
        and not (settings.state_dir / "key").exists()
    ):
        raise Misconfigured(
            f"the key file {settings.state_dir / 'key'} is missing: what is recorded cannot be read without it",
            "restore it from a backup, or use another state folder (IM_STATE_DIR)",
        )
    seal = Seal.from_file(settings.state_dir / "key")
    store, locks = _open_state(settings, seal)
    context = Context(
        settings=settings,
        store=store,
        seal=seal,
        clock=clock or SystemClock(),
        cwd=folder,
        locks=locks,
        credentials=functools.cache(lambda: auth_lines(settings)),
    )
    try:
        yield context
    finally:
        context.close()


def _open_state(settings: Settings, seal: Seal) -> tuple[Store, Locks]:
    """Open the store and the locks that belong to it: of this computer, or of a PostgreSQL database."""
    url = database_url(settings)
    if not url:
        return SqliteStore(settings.state_dir / "state.db", seal), FileLocks(settings.state_dir / "locks")
    try:
        from im_client.state.leases import PostgresLocks
        from im_client.state.postgres import PostgresStore
    except ImportError as error:
        raise Misconfigured(
            f"a state in PostgreSQL needs more packages ({error.name} is missing)",
            "pip install im-clues[server], or in a checkout: make venv",
        ) from error
    store = PostgresStore(url, seal, most_connections=settings.database_connections)
    return store, PostgresLocks(store.postgres, settings.lease_s)
