"""What was and is deployed, for `GET /stats`."""

from collections.abc import Sequence

from im_client.services.context import Context
from im_client.state.server import ServerStore
from im_client.state.store import InfrastructureRecord, NodeRecord

__all__ = ["facts_of_infrastructure", "statistics"]


def facts_of_infrastructure(record: InfrastructureRecord, nodes: Sequence[NodeRecord]) -> dict[str, object]:
    """Return the figures of one infrastructure, in the words of the Infrastructure Manager."""
    return {
        "inf_id": record.id,
        "creation_date": record.created_at,
        "last_date": record.updated_at,
        "tosca_name": record.name,
        "vm_count": len(nodes),
        "cpu_count": sum(node.spec.num_cpus or 1 for node in nodes),
        "memory_size": sum((node.spec.mem_bytes or 0) >> 20 for node in nodes),
        "cloud_type": record.provider,
        "cloud_host": "",
        "hybrid": len({node.provider for node in nodes}) > 1,
        "deleted": False,
    }


def statistics(
    ctx: Context, records: ServerStore, account: str | None, since: float, until: float
) -> list[dict[str, object]]:
    """Return the figures of what existed at any time between two (seconds since the epoch), oldest first.

    `account` restricts it to the infrastructures of one; None: of all.
    """
    mine = None if account is None else set(records.memberships(account))
    found: list[dict[str, object]] = [
        {**former.facts, "deleted": True, "im_user": former.account, "last_date": former.deleted_at}
        for former in records.former(since)
        if account in {None, former.account} and _number(former.facts.get("creation_date")) <= until
    ]
    for record in ctx.store.infrastructures():
        if (mine is None or record.id in mine) and record.created_at <= until:
            owner = next(iter(records.members(record.id)), "")
            found.append({**facts_of_infrastructure(record, ctx.store.nodes(record.id)), "im_user": owner})
    return sorted(found, key=lambda facts: _number(facts["creation_date"]))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
