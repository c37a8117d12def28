"""Values that machines give at run time: from expressions and facts to plain data.

The rules follow TOSCA Simple Profile 1.3, section 4, and the Infrastructure Manager's dialect:

- An attribute of a machine group is a list, one entry a machine in the order of the index; an index picks one.
- With scope OWN it is the machine's own value, and an index 0 behind a value that is no list is passed over.
- An attribute of a component is what one of its operations set: on one machine the value itself, on several a list.
- A machine with only one address is reached by it, be it asked for as private or as public.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final, TypeAlias

from im_client.topology.facts import Facts, NodeFacts
from im_client.topology.values import Attribute, Concat, Join, OperationOutput, Scope, Token, Value
from infracore.secrets import Secret

__all__ = ["Reference", "Resolver", "Unresolved", "describe", "references", "resolvable", "resolve"]

Reference: TypeAlias = Attribute | OperationOutput

_MISSING: Final = object()


class Unresolved(Exception):
    """Something that a value refers to is not known yet. Callers act on it; it is no failure to show to a user."""

    def __init__(self, unknown: tuple[Reference, ...], detail: str = "") -> None:
        names = ", ".join(describe(r) for r in unknown)
        super().__init__(detail or f"not known yet: {names}")
        self.references = unknown


def describe(reference: Reference) -> str:
    """Name a reference for people: `token of front_end`."""
    if isinstance(reference, Attribute):
        return f"{'.'.join(str(p) for p in reference.path)} of {reference.node}"
    return f"output {reference.name} of {reference.node}.{reference.operation}"


def references(value: Value) -> Iterator[Reference]:
    """Yield every attribute and operation output in a value, in reading order."""
    match value:
        case Attribute() | OperationOutput():
            yield value
        case Concat(parts):
            yield from references(parts)
        case Join(parts, _):
            yield from references(parts)
        case Token(text, _, _):
            yield from references(text)
        case tuple():
            for part in value:
                yield from references(part)
        case Mapping():
            for part in value.values():
                yield from references(part)


def resolve(value: Value, facts: Facts, own: str | None = None) -> Value:
    """Replace every expression by what it is now; secrets stay secrets.

    `own` names the machine of scope OWN; without it such attributes are taken of the whole group.

    Raises:
        Unresolved: with all references that are not known yet.
    """
    return Resolver(facts).resolve(value, own)


def resolvable(value: Value, facts: Facts, own: str | None = None) -> bool:
    """Say whether `resolve` would succeed."""
    try:
        resolve(value, facts, own)
    except Unresolved:
        return False
    return True


class Resolver:
    """Resolves many values over one set of facts; the groups are put in order once.

    `stale` holds (machine, component, operation) whose outputs count as unknown, since the operation will run
    again; the caller may add to it between calls. Not safe under threads while that happens.
    """

    def __init__(self, facts: Facts, stale: Collection[tuple[str, str, str]] = ()) -> None:
        self._facts = facts
        self._stale = stale
        self._groups: dict[str, list[NodeFacts]] = {}
        for node in facts.nodes.values():
            self._groups.setdefault(node.group, []).append(node)
        for members in self._groups.values():
            members.sort(key=lambda n: n.index)

    def resolve(self, value: Value, own: str | None = None) -> Value:
        """As the module's function `resolve`."""
        match value:
            case None | bool() | int() | float() | str() | Secret():
                return value
            case Attribute():
                return self._attribute(value, own)
            case OperationOutput():
                return self._operation_output(value, own)
            case Concat(parts):
                return _text_of(self._all(parts, own), "")
            case Join(parts, delimiter):
                whole = self.resolve(parts, own)
                return _text_of(whole if isinstance(whole, tuple) else (whole,), delimiter)
            case Token(text, separator, index):
                return self._token(value, _text_of((self.resolve(text, own),), ""), separator, index)
            case tuple():
                return self._all(value, own)
            case _:
                unknown: list[Reference] = []
                plain: dict[str, Value] = {}
                for key, part in value.items():
                    try:
                        plain[key] = self.resolve(part, own)
                    except Unresolved as missing:
                        unknown.extend(missing.references)
                if unknown:
                    raise Unresolved(tuple(unknown))
                return plain

    def _all(self, parts: tuple[Value, ...], own: str | None) -> tuple[Value, ...]:
        unknown: list[Reference] = []
        plain: list[Value] = []
        for part in parts:
            try:
                plain.append(self.resolve(part, own))
            except Unresolved as missing:
                unknown.extend(missing.references)
        if unknown:
            raise Unresolved(tuple(unknown))
        return tuple(plain)

    def _token(self, token: Token, text: str | Secret, separator: str, index: int) -> Value:
        clear = text.reveal() if isinstance(text, Secret) else text
        pieces = clear.split(separator) if separator else [clear]
        if not -len(pieces) <= index < len(pieces):
            raise Unresolved(
                tuple(references(token.text)),
                f"token {index} of a text that has only {len(pieces)} when split at {separator!r}",
            )
        piece = pieces[index]
        return Secret(piece) if isinstance(text, Secret) else piece

    def _instances(self, node: str, scope: Scope, own: str | None) -> tuple[list[NodeFacts], bool]:
        """Return the machines that a reference speaks of, and whether it is about one machine by itself."""
        group = self._facts.components.get(node, node)
        if scope is Scope.OWN and own is not None:
            mine = self._facts.nodes.get(own)
            if mine is not None and mine.group == group:
                return [mine], True
        return self._groups.get(group, []), False

    def _attribute(self, reference: Attribute, own: str | None) -> Value:
        machines, single = self._instances(reference.node, reference.scope, own)
        is_component = reference.node in self._facts.components
        found = [self._of_machine(reference, m, own) for m in machines]
        # How many leading words of the path each value has used up; the rest leads into the value.
        known = [pair for pair in found if pair is not None]
        if not machines or not known:
            default = self._default(reference, own)
            if default is not _MISSING:
                return default  # type: ignore[return-value]
        used = known[0][1] if known else 1
        rest = reference.path[used:]
        if single or (is_component and len(machines) == 1):
            if len(known) == len(machines):
                return _into(known[0][0], rest, reference)
            raise Unresolved((reference,))
        if rest and isinstance(rest[0], int):
            position = rest[0]
            if -len(found) <= position < len(found):
                chosen = found[position]
                if chosen is not None:
                    return _into(chosen[0], rest[1:], reference)
            raise Unresolved((reference,))
        if not machines or len(known) < len(machines):
            raise Unresolved((reference,))
        values = tuple(_into(value, rest, reference) for value, _ in known)
        return values[0] if rest and len(values) == 1 else values

    def _of_machine(self, reference: Attribute, node: NodeFacts, own: str | None) -> tuple[Value, int] | None:
        """Return the attribute of one machine with the number of path words that name it, or None."""
        if not reference.path:
            return None
        name = str(reference.path[0])
        by_operation = node.outputs.get(reference.node)
        if by_operation:
            found: Value | object = _MISSING
            for operation, outputs in by_operation.items():  # a later operation's word counts
                if name in outputs and not self._is_stale(node.name, reference.node, operation):
                    found = outputs[name]
            if found is not _MISSING:
                return found, 1  # type: ignore[return-value]
        for length in range(len(reference.path), 0, -1):
            words = reference.path[:length]
            if all(isinstance(w, str) for w in words):
                dotted = ".".join(str(w) for w in words)
                if dotted in node.attributes:
                    return self.resolve(node.attributes[dotted], own), length
        builtin = _builtin(reference.node, node, name)
        return None if builtin is None else (builtin, 1)

    def _default(self, reference: Attribute, own: str | None) -> Value | object:
        defaults = self._facts.defaults.get(reference.node, {})
        if not reference.path or str(reference.path[0]) not in defaults:
            return _MISSING
        return _into(self.resolve(defaults[str(reference.path[0])], own), reference.path[1:], reference)

    def _operation_output(self, reference: OperationOutput, own: str | None) -> Value:
        machines, _ = self._instances(reference.node, reference.scope, own)
        values: list[Value] = []
        for node in machines:
            outputs = node.outputs.get(reference.node, {}).get(reference.operation, {})
            if reference.name not in outputs or self._is_stale(node.name, reference.node, reference.operation):
                raise Unresolved((reference,))
            values.append(outputs[reference.name])
        if not values:
            raise Unresolved((reference,))
        return values[0] if len(values) == 1 else tuple(values)

    def _is_stale(self, node: str, component: str, operation: str) -> bool:
        return (node, component, operation) in self._stale


def _builtin(asked: str, node: NodeFacts, name: str) -> str | None:
    match name:
        case "private_address":
            return node.private_address or node.public_address
        case "public_address" | "ip_address":
            return node.public_address or node.private_address
        case "tosca_id":
            return node.provider_id
        case "tosca_name":
            return asked
    return None


def _into(value: Value, path: tuple[str | int, ...], reference: Reference) -> Value:
    """Follow keys and indices into a plain value."""
    for step in path:
        match value, step:
            case (Mapping() as mapping, _) if str(step) in mapping:
                value = mapping[str(step)]
            case (tuple() as items, int()) if -len(items) <= step < len(items):
                value = items[step]
            case (None | bool() | int() | float() | str() | Secret() | Mapping(), 0):
                pass  # the Infrastructure Manager has a list where TOSCA has a scalar
            case _:
                raise Unresolved((reference,))
    return value


def _text_of(parts: tuple[Value, ...], delimiter: str) -> str | Secret:
    """Put parts together as text; a secret part makes the whole secret."""
    texts = [_text(part) for part in parts]
    whole = delimiter.join(t.reveal() if isinstance(t, Secret) else t for t in texts)
    return Secret(whole) if any(isinstance(t, Secret) for t in texts) else whole


def _text(part: Value) -> str | Secret:
    match part:
        case Secret() | str():
            return part
        case None:
            return ""
        case bool():
            return "true" if part else "false"
        case tuple():  # a group's one address in a text is the address; several stand with commas
            return _text_of(part, ",")
        case Mapping():
            return _text_of(tuple(f"{key}={_text(value)}" for key, value in part.items()), ",")
        case _:
            return str(part)
