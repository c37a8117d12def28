"""Digests by which a later plan sees that an operation must run again on a machine."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from im_client.topology.facts import Facts
from im_client.topology.model import Artifact, Operation
from im_client.topology.resolve import Reference, Resolver, Unresolved, describe, references
from im_client.topology.values import Attribute, Scope, Value
from infracore.secrets import Secret

__all__ = ["OperationDigest", "OperationDigests", "configured_digest", "operation_digest"]


@dataclass(frozen=True, slots=True)
class OperationDigest:
    """`text` stands for the implementation and all inputs; what was `unknown` counts by its name only."""

    text: str
    unknown: tuple[Reference, ...] = ()


def operation_digest(operation: Operation, facts: Facts, own: str | None) -> str:
    """Return the digest of an operation on one machine. For many machines use `OperationDigests`."""
    return OperationDigests(Resolver(facts), facts).of(operation, own).text


def configured_digest(operation_digests: Mapping[str, str]) -> str:
    """Return one digest for all operations that succeeded on a machine (also for none)."""
    return _sha256(sorted(operation_digests.items()))


class OperationDigests:
    """Digests over one set of facts; an input that is equal on all machines is resolved and hashed once.

    Facts that change afterwards (the resolver's `stale`) do not change what was given out for an operation.
    """

    def __init__(self, resolver: Resolver, facts: Facts) -> None:
        self._resolver = resolver
        self._own_defaults = frozenset(
            node
            for node, attributes in facts.defaults.items()
            if any(r.scope is Scope.OWN for value in attributes.values() for r in references(value))
        )
        self._shared: dict[str, OperationDigest] = {}
        self._own_inputs: dict[str, tuple[str, ...]] = {}

    def of(self, operation: Operation, own: str | None) -> OperationDigest:
        """Return the digest of an operation on the machine `own`."""
        shared = self._shared.get(operation.id)
        if shared is None:
            shared = self._prepare(operation)
        names = self._own_inputs[operation.id]
        if not names:
            return shared
        mine = self._inputs(operation, names, own)
        return OperationDigest(_sha256([shared.text, mine.text]), shared.unknown + mine.unknown)

    def _prepare(self, operation: Operation) -> OperationDigest:
        own_names = tuple(sorted(name for name, value in operation.inputs.items() if self._is_own(value)))
        self._own_inputs[operation.id] = own_names
        others = tuple(sorted(operation.inputs.keys() - set(own_names)))
        inputs = self._inputs(operation, others, None)
        parts = [_artifact(operation.implementation), [_artifact(a) for a in operation.requires], inputs.text]
        shared = OperationDigest(_sha256(parts), inputs.unknown)
        self._shared[operation.id] = shared
        return shared

    def _is_own(self, value: Value) -> bool:
        return any(
            r.scope is Scope.OWN or (isinstance(r, Attribute) and r.node in self._own_defaults)
            for r in references(value)
        )

    def _inputs(self, operation: Operation, names: tuple[str, ...], own: str | None) -> OperationDigest:
        unknown: list[Reference] = []
        parts: list[tuple[str, object]] = []
        for name in names:
            try:
                parts.append((name, self._resolver.resolve(operation.inputs[name], own)))
            except Unresolved as missing:
                unknown.extend(missing.references)
                parts.append((name, {"$unknown": [describe(r) for r in missing.references]}))
        return OperationDigest(_sha256(parts), tuple(unknown))


def _artifact(artifact: Artifact) -> list[str | None]:
    """Return what makes an artifact another one: where the text is known its hash, not the folder it lies in."""
    location = PurePosixPath(artifact.location).name if artifact.digest else artifact.location
    return [artifact.kind, location, artifact.version, artifact.sha256, artifact.digest]


def _sha256(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, Secret):
        return {"$secret": value.reveal()}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is no value of a topology")
