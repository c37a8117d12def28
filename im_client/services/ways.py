"""The way to each machine of an infrastructure: directly, or through one of them that has a public address.

Where this computer does not reach private addresses, a machine without another one is logged in to through the first
machine of its site that has one and answers (ssh ProxyJump). A machine whose host key nobody could put on it is asked
for its key once; from then on it must show that one.
"""

import dataclasses
import threading
from collections.abc import Callable, Iterable, Mapping

from im_client.remote.access import Access
from im_client.remote.first_use import learned_key
from im_client.remote.wait import wait_reachable
from im_client.services.context import Context
from im_client.services.sites import Sites
from im_client.state.store import NodeRecord
from infracore.errors import Conflict, InfraError

__all__ = ["Ways", "gates_of", "is_hidden"]


def is_hidden(node: NodeRecord, sites: Sites) -> bool:
    """Return whether a machine is reached through another one only."""
    return not node.public_address and not sites.at(node.provider).limits().direct


def gates_of(node: NodeRecord, records: Iterable[NodeRecord]) -> list[NodeRecord]:
    """Return the machines through which a hidden one may be reached, by name: those of its site with a public one."""
    return sorted(
        (one for one in records if one.public_address and one.provider == node.provider and one.name != node.name),
        key=lambda one: (one.created_at, one.name),
    )


class Ways:
    """Finds the ways during one run. Safe under threads."""

    def __init__(
        self,
        ctx: Context,
        sites: Sites,
        *,
        cancel: threading.Event,
        records: Callable[[], Mapping[str, NodeRecord]],
        access: Callable[[NodeRecord], Access | None],
        learned: Callable[[str, str], NodeRecord],
    ) -> None:
        """`records` are all machines as they stand, `access` asks how one is logged in to directly, and
        `learned(name, key)` records its host key."""
        self._ctx = ctx
        self._sites = sites
        self._cancel = cancel
        self._records = records
        self._access = access
        self._learned = learned
        self._lock = threading.Lock()
        self._open: dict[str, Access] = {}
        """Gates that have answered during this run."""

    def wait(self, node: NodeRecord, access: Access) -> Access:
        """Return when a machine answers on SSH, with how it is logged in to.

        Raises:
            TimedOut: with the last reason. Conflict: it shows another host key, or nothing leads to it.
        """
        if is_hidden(node, self._sites) and access.jump is None:
            access = dataclasses.replace(access, jump=self._gate(node))
        access = self._known(node, access)
        self._reach(access)
        if node.public_address:
            with self._lock:
                self._open[node.name] = access
        return access

    def without_waiting(self, node: NodeRecord, access: Access) -> Access | None:
        """Return how a machine that runs is logged in to; None where nothing leads to it, or its key is not known."""
        if is_hidden(node, self._sites) and access.jump is None:
            gates = gates_of(node, self._records().values())
            with self._lock:
                gate = next((self._open[one.name] for one in gates if one.name in self._open), None)
            gate = gate or next((way for one in gates if (way := self._access(one)) and _is_known(way)), None)
            if gate is None:
                return None
            access = dataclasses.replace(access, jump=gate)
        return access if _is_known(access) else None

    def _gate(self, node: NodeRecord) -> Access:
        gates = gates_of(node, self._records().values())
        with self._lock:
            for gate in gates:
                if gate.name in self._open:
                    return self._open[gate.name]
        last: InfraError | None = None
        for gate in gates:
            access = self._access(gate)
            if access is None:
                continue
            try:
                return self.wait(gate, access)
            except InfraError as error:
                last = error
                if self._cancel.is_set():
                    raise
        why = f": {last.message}" if last is not None else ""
        raise Conflict(
            f"{node.name} has no public address, and no machine at {node.provider} that has one leads to it{why}",
            "run the same command again when one of them answers",
        )

    def _known(self, node: NodeRecord, access: Access) -> Access:
        """Return the access with the key that the machine must show; learn it where nobody knows it."""
        if _is_known(access):
            return access
        provider = self._sites.at(node.provider)
        key = learned_key(
            access,
            lambda: provider.console(node.provider_id or ""),
            timeout_s=self._ctx.settings.timeouts.reachable_s,
            clock=self._ctx.clock,
            cancel=self._cancel,
        )
        self._learned(node.name, key)
        return dataclasses.replace(access, host_key=key)

    def _reach(self, access: Access) -> None:
        wait_reachable(
            access, timeout_s=self._ctx.settings.timeouts.reachable_s, clock=self._ctx.clock, cancel=self._cancel
        )


def _is_known(access: Access) -> bool:
    """Whether it is known which host key the machine must show."""
    return access.host_key is not None or access.known_hosts_file is not None
