"""All that a server works with, opened once."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from im_client.services.context import Context, open_context
from im_client.services.server.accounts import Accounts
from im_client.services.server.bodies import GuardedReader
from im_client.services.server.callers import Callers
from im_client.services.server.loading import Loader
from im_client.services.server.offload import Analyser
from im_client.services.server.operations import Operations
from im_client.services.server.perform import Performer
from im_client.services.server.refreshing import Refresher
from im_client.services.server.vault import Vault, open_vault
from im_client.state.server import ServerStore
from im_client.state.sql_server import SqlServerStore
from im_client.state.sql_store import SqlStore
from im_client.topology.model import Topology
from im_client.topology.scale import scale
from infracore.errors import Misconfigured
from infracore.structs import make_ready

__all__ = ["House", "open_house", "open_records"]


@dataclass(frozen=True)
class House:
    """The surroundings of every request. Safe under threads."""

    ctx: Context
    records: ServerStore
    accounts: Accounts
    callers: Callers
    operations: Operations
    refresher: Refresher
    topologies: "Topologies"
    vault: Vault | None
    loader: Loader
    began_at: float
    """Seconds since the epoch."""

    def topology(self, infrastructure: str) -> Topology:
        """Return what is wanted of an infrastructure. Raises NotFound, InvalidTemplate."""
        version = self.records.source_version(infrastructure)
        known = self.topologies.get(infrastructure, version)
        if known is None:
            from im_client.services.prepare import recorded_topology

            record = self.ctx.store.infrastructure(infrastructure)
            known = scale(recorded_topology(self.ctx, record)[0], record.source.counts)
            self.topologies.put(infrastructure, version, known)
        return known

    def refreshed_numbers(self, infrastructure: str) -> Mapping[str, int]:
        """Return node name -> VM number; machines that `im` made on this computer get theirs now."""
        known = self.records.vm_numbers(infrastructure)
        fresh = [n for n in self.ctx.store.nodes(infrastructure) if n.name not in known]
        if not fresh:
            return known
        fresh.sort(key=lambda node: node.created_at)
        return self.records.number_vms(infrastructure, [node.name for node in fresh])


class Topologies:
    """The topologies that were asked for last, so that looking at 500 VMs reads their template once. Thread-safe."""

    def __init__(self, most: int = 8) -> None:
        self._most = most
        self._kept: OrderedDict[str, tuple[int, Topology]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, infrastructure: str, version: int) -> Topology | None:
        """Return the one of this version of the source, None where it is not kept."""
        with self._lock:
            found = self._kept.get(infrastructure)
            if found is None or found[0] != version:
                return None
            self._kept.move_to_end(infrastructure)
            return found[1]

    def put(self, infrastructure: str, version: int, topology: Topology) -> None:
        """Keep one, and forget that which was not asked for the longest."""
        with self._lock:
            self._kept[infrastructure] = (version, topology)
            self._kept.move_to_end(infrastructure)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)


def open_records(ctx: Context) -> ServerStore:
    """Return the server's records in the store of a context.

    Raises:
        Misconfigured: the store is of a kind that a server cannot use.
    """
    if not isinstance(ctx.store, SqlStore):
        raise Misconfigured(f"a server cannot keep its records in {type(ctx.store).__name__}")
    return SqlServerStore(ctx.store)


@contextmanager
def open_house(
    *, overrides: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[House]:
    """Open the store and all that works on it; go on with operations that an earlier server did not end.

    Raises:
        Misconfigured: a setting is wrong.
    """
    with open_context(overrides=overrides, environ=environ, cwd=cwd) as plain:
        server = plain.settings.server
        if (server.tls_certificate == Path()) != (server.tls_key == Path()):
            raise Misconfigured("server.tls_certificate and server.tls_key must be set together")

        def make_reader() -> GuardedReader:
            return GuardedReader(plain.settings.cache_dir, server.fetch_hosts, plain.settings.ansible.offline)

        ctx = replace(
            plain,
            analyse=Analyser(limit_s=server.parse_s),
            make_reader=make_reader,
            trusts_values=server.foreign_playbooks,
        )
        records = open_records(ctx)
        accounts = Accounts(records, ctx.clock)
        oidc = None
        if server.oidc.issuer:
            from im_client.services.server.oidc import Oidc

            oidc = Oidc(server.oidc, ctx.clock.monotonic)
        loader = Loader()
        make_ready("im_client", "infracore")  # what is loaded so far; the loader does the rest
        operations = Operations(records, Performer(ctx, records, loader), ctx.clock, server.workers)
        refresher = Refresher(ctx, operations, server.refresh_s)
        vault = open_vault(ctx.settings, records)
        callers, now = Callers(accounts, oidc), ctx.clock.now()
        house = House(ctx, records, accounts, callers, operations, refresher, Topologies(), vault, loader, now)
        try:
            operations.resume()
            yield house
        finally:
            refresher.close()
            operations.close()
