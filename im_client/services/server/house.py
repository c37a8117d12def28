"""All that a server works with, opened once."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from im_client.services.context import Context, open_context
from im_client.services.server.accounts import Accounts
from im_client.services.server.bodies import GuardedReader
from im_client.services.server.callers import Callers
from im_client.services.server.clouds import needs_line, offered
from im_client.services.server.endpoints import Endpoints, open_endpoints
from im_client.services.server.expiring import Expirer
from im_client.services.server.loading import Loader
from im_client.services.server.offload import Analyser
from im_client.services.server.operations import Operations, OwnOperations
from im_client.services.server.perform import Performer
from im_client.services.server.purse import Purse
from im_client.services.server.refreshing import Refresher
from im_client.services.server.vault import Vault, open_vault
from im_client.state.server import ServerStore
from im_client.state.sql_server import SqlServerStore
from im_client.state.sqlite import SqliteStore
from im_client.state.store import NodeRecord
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
    purse: Purse
    endpoints: Endpoints
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

    def refreshed_numbers(self, infrastructure: str, nodes: Sequence[NodeRecord] | None = None) -> Mapping[str, int]:
        """Return node name -> VM number; machines that `im` made on this computer get theirs now.

        `nodes` are its machines where they were read already: each has a secret to be opened.
        """
        known = self.records.vm_numbers(infrastructure)
        fresh = [n for n in (self.ctx.store.nodes(infrastructure) if nodes is None else nodes) if n.name not in known]
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
    if isinstance(ctx.store, SqliteStore):
        return SqlServerStore(ctx.store)
    from im_client.services.server.sharing import shared_records

    return shared_records(ctx)


def serving(plain: Context) -> Context:
    """Return a context in which templates of strangers may be read and run."""
    server = plain.settings.server

    def make_reader() -> GuardedReader:
        return GuardedReader(plain.settings.cache_dir, server.fetch_hosts, plain.settings.ansible.offline)

    return replace(
        plain,
        analyse=Analyser(limit_s=server.parse_s),
        make_reader=make_reader,
        trusts_values=server.foreign_playbooks,
        needs_known_clouds=any(needs_line(site) for site in offered(plain)),
    )


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
        ctx = serving(plain)
        loader = Loader()
        with _operations(ctx, loader) as (records, operations, purse):
            accounts = Accounts(records, ctx.clock)
            endpoints = open_endpoints(server, records, ctx.clock)
            oidc = None
            if server.oidc.issuer:
                from im_client.services.server.oidc import Oidc

                oidc = Oidc(server.oidc, ctx.clock.monotonic)
            make_ready("im_client", "infracore")  # what is loaded so far; the loader does the rest
            refresher = Refresher(ctx, operations, server.refresh_s)
            expirer = Expirer(ctx, operations, server.expire_s)
            house = House(
                ctx=ctx,
                records=records,
                accounts=accounts,
                callers=Callers(accounts, oidc),
                operations=operations,
                refresher=refresher,
                topologies=Topologies(),
                vault=purse.vault,
                purse=purse,
                endpoints=endpoints,
                loader=loader,
                began_at=ctx.clock.now(),
            )
            try:
                operations.resume()
                expirer.start()
                yield house
            finally:
                expirer.close()
                refresher.close()
                operations.close()


@contextmanager
def _operations(ctx: Context, loader: Loader) -> Iterator[tuple[ServerStore, Operations, Purse]]:
    """Open what carries changes out: this process, or workers anywhere where the state is in PostgreSQL."""
    if isinstance(ctx.store, SqliteStore):
        own = SqlServerStore(ctx.store)
        purse = Purse(ctx.clock, own, open_vault(ctx.settings, own), reaches_operations=True)
        yield own, OwnOperations(own, Performer(ctx, own, loader, purse), ctx.clock, ctx.settings.server.workers), purse
        return
    from im_client.services.server.sharing import open_shared

    with open_shared(ctx) as (records, operations):
        vault = open_vault(ctx.settings, records)
        yield records, operations, Purse(ctx.clock, records, vault, reaches_operations=False)
