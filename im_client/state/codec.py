"""Records <-> bytes. Values of a topology become JSON; whatever may hold a secret is sealed before it rests.

A mapping with one key that begins with `$` is one of ours: `{"$secret": text}`, `{"$attribute": [node, path,
scope]}`. A key of the user's that begins with `$` gets another `$` in front.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from im_client.plan.model import Spec
from im_client.state.store import Budget, Endpoint, Source
from im_client.topology.values import Attribute, Concat, Join, OperationOutput, Scope, Token, Value
from infracore.secrets import Secret

__all__ = [
    "decode_budget",
    "decode_digests",
    "decode_node_part",
    "decode_source",
    "decode_spec",
    "decode_values",
    "encode_node_part",
    "encode_plain",
    "encode_source",
    "encode_values",
    "from_plain",
    "storable",
    "to_plain",
]

Outputs = Mapping[str, Mapping[str, Mapping[str, Value]]]


_WIDEST: Final = 2**63
"""JSON numbers of this size and more go as text: decoders differ about them."""


def storable(text: str) -> str:
    """Return text that UTF-8 can hold: lone surrogates (bytes of a program's output) become `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def to_plain(value: Value | list[Any]) -> Any:
    """Turn a value into what JSON can say. Secrets come out in clear: seal the result."""
    match value:
        case None | bool():
            return value
        case str():
            return storable(value)
        case int():
            return value if -_WIDEST <= value < _WIDEST else {"$int": str(value)}
        case float():
            return value if math.isfinite(value) else {"$float": repr(value)}
        case Mapping():
            return {_escape(storable(key)): to_plain(item) for key, item in value.items()}
        case tuple() | list():  # lists come from callers that read JSON
            return [to_plain(item) for item in value]
        case Secret():
            return {"$secret": storable(value.reveal())}
        case Attribute():
            return {"$attribute": [value.node, list(value.path), value.scope.value]}
        case OperationOutput():
            return {
                "$output": [value.node, value.interface, value.operation, value.name, value.scope.value],
            }
        case Concat():
            return {"$concat": [to_plain(part) for part in value.parts]}
        case Join():
            return {"$join": [to_plain(value.parts), value.delimiter]}
        case Token():
            return {"$token": [to_plain(value.text), value.separator, value.index]}
    raise TypeError(f"{type(value).__name__} is no value of a topology")


def _escape(key: str) -> str:
    return f"${key}" if key.startswith("$") else key


def from_plain(plain: Any) -> Value:
    """Turn back what `to_plain` made.

    Raises:
        ValueError: a tag that this program does not know.
    """
    if isinstance(plain, list):
        return tuple(from_plain(item) for item in plain)
    if not isinstance(plain, dict):
        return plain  # type: ignore[no-any-return]  # None, bool, int, float, str
    if len(plain) == 1:
        tag, content = next(iter(plain.items()))
        if tag.startswith("$") and not tag.startswith("$$"):
            if tag not in _TAGS:
                raise ValueError(f"unknown kind of value {tag!r}")
            return _TAGS[tag](content)
    return {key[1:] if key.startswith("$$") else key: from_plain(item) for key, item in plain.items()}


_TAGS: Final[Mapping[str, Callable[[Any], Value]]] = {
    "$int": int,
    "$float": float,
    "$secret": Secret,
    "$attribute": lambda c: Attribute(c[0], tuple(c[1]), Scope(c[2])),
    "$output": lambda c: OperationOutput(c[0], c[1], c[2], c[3], Scope(c[4])),
    "$concat": lambda c: Concat(tuple(from_plain(part) for part in c)),
    "$join": lambda c: Join(from_plain(c[0]), c[1]),
    "$token": lambda c: Token(from_plain(c[0]), c[1], c[2]),
}


def _hook(thing: Any) -> Any:
    """Let msgspec encode mappings that are no dict (MappingProxyType)."""
    if isinstance(thing, Mapping):
        return dict(thing)
    raise NotImplementedError(f"{type(thing).__name__} is not stored")


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_hook)
_ANY: Final = msgspec.json.Decoder()
_SPEC: Final = msgspec.json.Decoder(Spec)
_BUDGET: Final = msgspec.json.Decoder(Budget)
_DIGESTS: Final = msgspec.json.Decoder(dict[str, str])


def encode_plain(thing: Spec | Budget | Mapping[str, str]) -> str:
    """Encode what is free of secrets."""
    return _ENCODER.encode(thing).decode()


def decode_spec(text: str) -> Spec:
    """Decode a spec; a field that this program no longer has is dropped."""
    return _SPEC.decode(text)


def decode_budget(text: str) -> Budget:
    """Decode a budget."""
    return _BUDGET.decode(text)


def decode_digests(text: str) -> dict[str, str]:
    """Decode a mapping of text to text."""
    return _DIGESTS.decode(text)


def encode_values(values: Mapping[str, Value]) -> str:
    """Encode named values, to be sealed."""
    return _text(_named(values))


def decode_values(text: str) -> Mapping[str, Value]:
    """Decode named values."""
    return {name: from_plain(item) for name, item in _ANY.decode(text).items()}


def encode_source(source: Source) -> str:
    """Encode a source, to be sealed."""
    return _text(
        {
            "template": storable(source.template),
            "add_ons": [storable(name) for name in source.add_ons],
            "files": {storable(name): storable(text) for name, text in source.files.items()},
            "inputs": _named(source.inputs),
            "counts": dict(source.counts),
            **({"images": dict(source.images)} if source.images else {}),
            **({"endpoint": _endpoint(source.endpoint)} if source.endpoint is not None else {}),
        }
    )


def decode_source(text: str) -> Source:
    """Decode a source."""
    plain = _ANY.decode(text)
    return Source(
        template=plain["template"],
        add_ons=tuple(plain["add_ons"]),
        files=plain["files"],
        inputs={name: from_plain(item) for name, item in plain["inputs"].items()},
        counts=plain["counts"],
        images=plain.get("images", {}),
        endpoint=_read_endpoint(plain["endpoint"]) if "endpoint" in plain else None,
    )


def _endpoint(endpoint: Endpoint) -> list[str]:
    return [endpoint.url, endpoint.token.reveal(), endpoint.authorities]


def _read_endpoint(plain: Any) -> Endpoint:
    url, token, authorities = plain
    return Endpoint(url, Secret(token), authorities)


def encode_node_part(host_key_private: Secret | None, outputs: Outputs) -> str | None:
    """Encode what of a node is sealed; None where there is nothing to hide."""
    if host_key_private is None and not outputs:
        return None
    key = None if host_key_private is None else host_key_private.reveal()
    components = {
        component: {operation: _named(values) for operation, values in operations.items()}
        for component, operations in outputs.items()
    }
    return _text([key, components])


def decode_node_part(text: str) -> tuple[Secret | None, Outputs]:
    """Decode the sealed part of a node."""
    key, components = _ANY.decode(text)
    outputs = {
        component: {
            operation: {name: from_plain(item) for name, item in values.items()}
            for operation, values in operations.items()
        }
        for component, operations in components.items()
    }
    return None if key is None else Secret(key), outputs


def _named(values: Mapping[str, Value]) -> dict[str, Any]:
    """Names stand at a place where no tag can be meant: they are not escaped."""
    return {storable(name): to_plain(item) for name, item in values.items()}


def _text(plain: Any) -> str:
    return _ENCODER.encode(plain).decode()
