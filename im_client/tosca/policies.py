"""Groups and policies: where machines are placed and how many there may be."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from im_client.template.findings import Findings, Place, meant
from im_client.template.problems import Code
from im_client.topology.model import Choose, Placement
from im_client.topology.values import Value
from im_client.tosca.conform import Spot
from im_client.tosca.functions import Evaluator
from im_client.tosca.model import Context, Node
from im_client.tosca.nodes import check_properties, report_type
from im_client.tosca.source import Map, Seq, Yaml, key_place, value_place
from im_client.tosca.types import Library, TypeDefinition

__all__ = ["Limits", "Policies"]

PLACEMENT: Final = "tosca.policies.Placement"
SCALING: Final = "tosca.policies.Scaling"
_KEYS: Final = frozenset({"type", "description", "metadata", "properties", "targets", "triggers", "reservation"})
_GROUP_KEYS: Final = frozenset({"type", "description", "metadata", "properties", "attributes", "members", "interfaces"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What policies say of one node template."""

    placement: Placement | None = None
    minimum: int | None = None
    maximum: int | None = None
    default: int | None = None


@dataclass(slots=True)
class Policies:
    """Reads groups and policies of one template."""

    nodes: Mapping[str, Node]
    broken: frozenset[str]
    library: Library
    evaluator: Evaluator
    findings: Findings
    _members: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def read_groups(self, raw: Map) -> None:
        """Check the groups and remember their members."""
        for name, body in raw.items():
            at = key_place(raw, name)
            if not isinstance(body, Map):
                self.findings.add(Code.NOT_A_MAP, at, f'the group "{name}" is no mapping')
                continue
            for key in body:
                if key not in _GROUP_KEYS:
                    said = f'the group "{name}" has the unknown key "{key}"'
                    self.findings.add(Code.UNKNOWN_KEY, key_place(body, key), said, meant(key, _GROUP_KEYS))
            self._type("group", f'the group "{name}"', body, at)
            members = body.get("members")
            listed = members if isinstance(members, Seq) else Seq(at)
            if members is not None and not isinstance(members, Seq):
                said = f'the members of the group "{name}" are no list'
                self.findings.add(Code.WRONG_TYPE, value_place(body, "members"), said)
            found: list[str] = []
            for member, place in zip(listed, listed.items_at, strict=True):
                if isinstance(member, str) and (member in self.nodes or member in self.broken):
                    found.append(member)
                else:
                    said = f'the group "{name}" has the member "{member}", which is no node template'
                    self.findings.add(Code.UNKNOWN_NODE, place, said, meant(member, self.nodes))
            self._members[name] = tuple(found)

    def _type(self, kind: str, owner: str, body: Map, at: Place) -> TypeDefinition | None:
        said = body.get("type")
        if not isinstance(said, str):
            self.findings.add(Code.UNKNOWN_TYPE, at, f"{owner} has no type")
            return None
        definition = self.library.find(kind, said)
        if definition is None:
            text = f"{owner} has the unknown type {said}"
            self.findings.add(Code.UNKNOWN_TYPE, value_place(body, "type"), text, self.library.meant(kind, said))
            return None
        report_type(definition, self.findings)
        return definition

    def read(self, raw: Yaml, place: Place) -> dict[str, Limits]:
        """Check the policies and return what they say of each node template."""
        limits: dict[str, Limits] = {}
        for name, body, at in self._listed(raw, place):
            if not isinstance(body, Map):
                self.findings.add(Code.BAD_POLICY, at, f'the policy "{name}" is no mapping')
                continue
            for key in body:
                if key not in _KEYS:
                    said = f'the policy "{name}" has the unknown key "{key}"'
                    self.findings.add(Code.UNKNOWN_KEY, key_place(body, key), said, meant(key, _KEYS))
            definition = self._type("policy", f'the policy "{name}"', body, at)
            targets = self._targets(name, body)
            if definition is None:
                continue
            properties = self._properties(name, body, definition, at)
            if PLACEMENT in definition.lineage:
                self._place(targets, properties, limits)
            elif SCALING in definition.lineage:
                self._scale(name, at, targets, properties, limits)
            else:
                self.findings.warn(
                    Code.IGNORED, at, f'the policy "{name}" of type {definition.name} has no effect here'
                )
        return limits

    def _listed(self, raw: Yaml, place: Place) -> Iterator[tuple[str, Yaml, Place]]:
        if raw is None:
            return
        if isinstance(raw, Map):
            for name, body in raw.items():
                yield name, body, key_place(raw, name)
        elif isinstance(raw, Seq):
            for item, at in zip(raw, raw.items_at, strict=True):
                if isinstance(item, Map):
                    for name, body in item.items():
                        yield name, body, key_place(item, name)
                else:
                    self.findings.add(Code.BAD_POLICY, at, "a policy is no mapping", "write: - name: { type: ... }")
        else:
            self.findings.add(Code.BAD_POLICY, place, '"policies" is no list', "write: - name: { type: ... }")

    def _targets(self, name: str, body: Map) -> tuple[str, ...]:
        raw = body.get("targets")
        if raw is None:
            return tuple(self.nodes)
        if not isinstance(raw, Seq):
            self.findings.add(Code.BAD_POLICY, value_place(body, "targets"), f'the targets of "{name}" are no list')
            return ()
        found: list[str] = []
        for target, place in zip(raw, raw.items_at, strict=True):
            if isinstance(target, str) and target in self._members:
                found += self._members[target]
            elif isinstance(target, str) and (target in self.nodes or target in self.broken):
                found.append(target)
            else:
                said = f'the policy "{name}" has the target "{target}", which is neither node template nor group'
                hint = meant(target, [*self.nodes, *self._members])
                self.findings.add(Code.UNKNOWN_NODE, place, said, hint)
        return tuple(found)

    def _properties(self, name: str, body: Map, definition: TypeDefinition, at: Place) -> dict[str, Value]:
        raw = body.get("properties")
        given = raw if isinstance(raw, Map) else Map(at)
        if raw is not None and not isinstance(raw, Map):
            self.findings.add(
                Code.NOT_A_MAP, value_place(body, "properties"), f'the properties of "{name}" are no mapping'
            )
        known = definition.properties
        if known:
            check_properties(given, known, f'the policy "{name}"', at, self.findings)
        return {
            key: self.evaluator.typed(value, known.get(key), Spot(value_place(given, key), Context(), key))
            for key, value in given.items()
        }

    def _place(self, targets: tuple[str, ...], properties: Mapping[str, Value], limits: dict[str, Limits]) -> None:
        cloud, zone = properties.get("cloud_id"), properties.get("availability_zone")
        listed, choose = properties.get("sites"), properties.get("choose")
        placement = Placement(
            cloud if isinstance(cloud, str) and cloud else None,
            zone if isinstance(zone, str) and zone else None,
            tuple(dict.fromkeys(s for s in listed if isinstance(s, str) and s)) if isinstance(listed, tuple) else (),
            next((one for one in Choose if one == choose), None),
        )
        for target in targets:
            limits[target] = replace(limits.get(target, Limits()), placement=placement)

    def _scale(
        self,
        name: str,
        at: Place,
        targets: tuple[str, ...],
        properties: Mapping[str, Value],
        limits: dict[str, Limits],
    ) -> None:
        numbers = {k: v for k, v in properties.items() if isinstance(v, int) and not isinstance(v, bool)}
        low, high = numbers.get("min_instances"), numbers.get("max_instances")
        if (low is not None and low < 0) or (low is not None and high is not None and low > high):
            self.findings.add(Code.BAD_POLICY, at, f'the policy "{name}" wants from {low} to {high} machines')
            return
        if not numbers:
            self.findings.warn(Code.IGNORED, at, f'the policy "{name}" states no number of machines and has no effect')
        for target in targets:
            limits[target] = replace(
                limits.get(target, Limits()),
                minimum=low,
                maximum=high,
                default=numbers.get("default_instances"),
            )
