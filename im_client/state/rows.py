"""Records <-> rows of the schema. Rows are read by name; sealing is the store's business."""

from collections.abc import Mapping
from typing import Any, Final

from im_client.plan.model import Phase
from im_client.state import codec
from im_client.state.codec import storable
from im_client.state.store import EventRecord, InfrastructureRecord, NodeRecord, RunRecord, RunState, Terms
from infracore.secrets import Secret

__all__ = [
    "INSERT_EVENT",
    "INSERT_INFRASTRUCTURE",
    "INSERT_RUN",
    "PUT_NODE",
    "PUT_PART",
    "SET_TERMS",
    "event_row",
    "infrastructure_parts",
    "infrastructure_row",
    "node_clear",
    "node_row",
    "read_event",
    "read_infrastructure",
    "read_node",
    "read_run",
    "run_row",
    "terms_row",
]

Row = tuple[Any, ...]

INSERT_INFRASTRUCTURE: Final = """
    INSERT INTO infrastructure (id, name, provider, created_at, updated_at, revision, ssh_public_key)
    VALUES (?, ?, ?, ?, ?, ?, ?)"""

SET_TERMS: Final = "UPDATE infrastructure SET expires_at = ?, budget = ? WHERE id = ?"

PUT_PART: Final = """
    INSERT INTO sealed_part (infrastructure, part, sealed) VALUES (?, ?, ?)
    ON CONFLICT (infrastructure, part) DO UPDATE SET sealed = excluded.sealed"""

PUT_NODE: Final = """
    INSERT INTO node (
        infrastructure, name, group_name, group_index, token, provider, provider_id, phase, created_at, updated_at,
        private_address, public_address, login_user, port, host_key_public, configured_digest, operation_digests,
        failure, spec, sealed, place
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (infrastructure, name) DO UPDATE SET
        group_name = excluded.group_name, group_index = excluded.group_index, token = excluded.token,
        provider = excluded.provider, provider_id = excluded.provider_id, phase = excluded.phase,
        created_at = excluded.created_at, updated_at = excluded.updated_at,
        private_address = excluded.private_address, public_address = excluded.public_address,
        login_user = excluded.login_user, port = excluded.port, host_key_public = excluded.host_key_public,
        configured_digest = excluded.configured_digest, operation_digests = excluded.operation_digests,
        failure = excluded.failure, spec = excluded.spec, sealed = excluded.sealed,
        place = excluded.place"""

INSERT_RUN: Final = """
    INSERT INTO run (id, infrastructure, verb, started_at, ended_at, state, summary, log_dir)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""

INSERT_EVENT: Final = """
    INSERT INTO event (run, at, kind, node, text)
    SELECT ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM run WHERE id = ?)"""


def infrastructure_row(record: InfrastructureRecord) -> Row:
    """Return the values of `INSERT_INFRASTRUCTURE`."""
    return (
        record.id,
        record.name,
        record.provider,
        record.created_at,
        record.updated_at,
        record.revision,
        record.ssh_public_key,
    )


def terms_row(terms: Terms) -> Row:
    """Return the first values of `SET_TERMS`."""
    return terms.expires_at, None if terms.budget is None else codec.encode_plain(terms.budget)


def infrastructure_parts(record: InfrastructureRecord) -> dict[str, str]:
    """Return part -> text to be sealed; empty parts are left out."""
    parts = {"source": codec.encode_source(record.source), "ssh_private_key": record.ssh_private_key.reveal()}
    if record.outputs:
        parts["outputs"] = codec.encode_values(record.outputs)
    if record.provider_settings:
        parts["provider_settings"] = codec.encode_values(record.provider_settings)
    return parts


def read_infrastructure(row: Any, parts: Mapping[str, str]) -> InfrastructureRecord:
    """Put a row and its opened parts together."""
    return InfrastructureRecord(
        id=row["id"],
        name=row["name"],
        provider=row["provider"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        revision=row["revision"],
        ssh_public_key=row["ssh_public_key"],
        source=codec.decode_source(parts["source"]),
        ssh_private_key=Secret(parts["ssh_private_key"]),
        outputs=codec.decode_values(parts.get("outputs", "{}")),
        provider_settings=codec.decode_values(parts.get("provider_settings", "{}")),
        terms=Terms(row["expires_at"], None if row["budget"] is None else codec.decode_budget(row["budget"])),
    )


def node_clear(record: NodeRecord) -> str | None:
    """Return what of a node is to be sealed, None where there is nothing."""
    return codec.encode_node_part(record.host_key_private, record.outputs)


def node_row(record: NodeRecord, sealed: bytes | None) -> Row:
    """Return the values of `PUT_NODE`."""
    return (
        record.infrastructure,
        record.name,
        record.group,
        record.index,
        record.token,
        record.provider,
        record.provider_id,
        record.phase.value,
        record.created_at,
        record.updated_at,
        record.private_address,
        record.public_address,
        record.user,
        record.port,
        record.host_key_public,
        record.configured_digest,
        codec.encode_plain(record.operation_digests),
        storable(record.failure),
        codec.encode_plain(record.spec),
        sealed,
        record.place,
    )


def read_node(row: Any, clear: str | None) -> NodeRecord:
    """Put a row and its opened part together."""
    key, outputs = (None, {}) if clear is None else codec.decode_node_part(clear)
    return NodeRecord(
        infrastructure=row["infrastructure"],
        name=row["name"],
        group=row["group_name"],
        index=row["group_index"],
        token=row["token"],
        provider=row["provider"],
        provider_id=row["provider_id"],
        phase=Phase(row["phase"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        private_address=row["private_address"],
        public_address=row["public_address"],
        user=row["login_user"],
        port=row["port"],
        host_key_public=row["host_key_public"],
        host_key_private=key,
        configured_digest=row["configured_digest"],
        operation_digests=codec.decode_digests(row["operation_digests"]),
        outputs=outputs,
        failure=row["failure"],
        spec=codec.decode_spec(row["spec"]),
        place=row["place"],
    )


def run_row(record: RunRecord) -> Row:
    """Return the values of `INSERT_RUN`."""
    return (
        record.id,
        record.infrastructure,
        record.verb,
        record.started_at,
        record.ended_at,
        record.state.value,
        storable(record.summary),
        record.log_dir,
    )


def read_run(row: Any) -> RunRecord:
    """Turn a row of `run` into its record."""
    return RunRecord(
        id=row["id"],
        infrastructure=row["infrastructure"],
        verb=row["verb"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        state=RunState(row["state"]),
        summary=row["summary"],
        log_dir=row["log_dir"],
    )


def event_row(event: EventRecord) -> Row:
    """Return the values of `INSERT_EVENT`."""
    return event.run, event.at, event.kind, event.node, storable(event.text), event.run


def read_event(row: Any) -> EventRecord:
    """Turn a row of `event` into its record."""
    return EventRecord(row["run"], row["at"], row["kind"], row["node"], row["text"])
