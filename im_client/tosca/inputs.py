"""Inputs of a template: their definitions, and their values as given or by default."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from im_client.template.findings import Findings, Place, meant
from im_client.template.problems import Code, Level
from im_client.topology.values import Value
from im_client.tosca.conform import Spot
from im_client.tosca.functions import Evaluator
from im_client.tosca.model import Context
from im_client.tosca.schema import Schema, read_schema
from im_client.tosca.source import Map, key_place, value_place
from im_client.tosca.types import Library
from im_client.tosca.values import SIMPLE_TYPES, plain
from infracore.secrets import Secret

__all__ = ["Inputs", "is_secret_name", "random_length", "read_inputs"]

_SECRET: Final = re.compile(r"passw|passphrase|token|secret|private_?key|api_?key|credential", re.IGNORECASE)
_NOT_SECRET: Final = re.compile(r"(_type|_enabled?|_name|_path|_url|_length)$", re.IGNORECASE)
_RANDOM: Final = re.compile(r"random\(\s*(\d{1,4})\s*\)")
_ACCESS_TOKEN: Final = re.compile(r"access_token\(\s*\)")


def is_secret_name(name: str) -> bool:
    """Say whether an input of this name holds a secret."""
    return _SECRET.search(name) is not None and _NOT_SECRET.search(name) is None


def random_length(value: object) -> int | None:
    """Return N where an input's value says `random(N)`: a text of N characters that the caller makes and keeps."""
    found = _RANDOM.fullmatch(value.strip()) if isinstance(value, str) else None
    return int(found[1]) if found else None


@dataclass(slots=True)
class Inputs:
    """The inputs of one template; `settle` fills the values."""

    schemas: Mapping[str, Schema]
    place: Place
    secret: frozenset[str]
    _values: dict[str, Value] = field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        """Return the names of all inputs."""
        return tuple(self.schemas)

    def value(self, name: str) -> Value:
        """Return an input's value; None where it is missing or wrong."""
        return self._values.get(name)

    def is_secret(self, name: str) -> bool:
        """Say whether an input holds a secret."""
        return name in self.secret

    def settle(self, given: Mapping[str, Value], evaluator: Evaluator, findings: Findings, *, require: bool) -> None:
        """Check and keep the values; each that is missing or wrong is a problem."""
        for name in given:
            if name not in self.schemas:
                hint = meant(name, self.schemas) or "the template has no inputs"
                findings.add(Code.UNKNOWN_INPUT, self.place, f'the template has no input "{name}"', hint)
        settling = _Settling(evaluator, findings, require)
        for name, schema in self.schemas.items():
            said = given.get(name)
            if said is None:
                said = settling.default(name, schema)
                self._values[name] = _hidden(said, schema) if name in self.secret else said
            else:  # hidden first, so that no message about it tells it
                said = _hidden(said, schema) if name in self.secret else said
                self._values[name] = settling.given(name, schema, said)


@dataclass(frozen=True, slots=True)
class _Settling:
    evaluator: Evaluator
    findings: Findings
    require: bool

    def given(self, name: str, schema: Schema, said: Value) -> Value:
        """Return a value that the user gives: checked in full."""
        spot = Spot(schema.place, Context(), name)
        return self.evaluator.given(said, schema, spot)

    def default(self, name: str, schema: Schema) -> Value:
        """Return the default. That it breaks its own constraints is only warned of, as tosca-parser takes it."""
        at = schema.default_at or schema.place
        if schema.default is None:
            if schema.required:
                self._missing(name, schema.place, "is required and has no value")
            return None
        if random_length(schema.default) is not None:
            if self.require:
                self._missing(name, at, "is to be a random text, and none was made for it")
            return None
        if isinstance(schema.default, str) and _ACCESS_TOKEN.fullmatch(schema.default.strip()):
            said = f'access_token() of the input "{name}" has no effect: no token is handed over'
            self.findings.warn(Code.IGNORED, at, said, f"give it: -i {name}=VALUE")
            return ""
        if not schema.default:  # "" and 0 mean "not set" in the catalogue, whatever the type
            return plain(schema.default)
        spot = Spot(at, Context(), name)
        value = self.evaluator.typed(schema.default, replace(schema, constraints=()), spot)
        self.evaluator.constrain(value, schema, replace(spot, computed=True))
        return value

    def _missing(self, name: str, at: Place, why: str) -> None:
        level = Level.ERROR if self.require else Level.WARNING
        self.findings.add(Code.MISSING_INPUT, at, f'the input "{name}" {why}', f"give it: -i {name}=VALUE", level)


def _hidden(value: Value, schema: Schema) -> Value:
    """Make text secret; of a credential the token and the keys."""
    if schema.type.endswith("Credential") and isinstance(value, Mapping):
        return {k: _all_hidden(v) if k in {"token", "keys"} else v for k, v in value.items()}
    return _all_hidden(value)


def _all_hidden(value: Value) -> Value:
    if isinstance(value, str):
        return Secret(value) if value else value
    if isinstance(value, Mapping):
        return {k: _all_hidden(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(_all_hidden(v) for v in value)
    return value


def read_inputs(raw: Map, library: Library, findings: Findings) -> Inputs:
    """Read the definitions of inputs."""
    schemas: dict[str, Schema] = {}
    secret: set[str] = set()
    for name, body in raw.items():
        schema = read_schema(name, body, value_place(raw, name), findings)
        if schema is None:
            continue
        at = key_place(raw, name)
        schema = Schema(
            _type_name(schema, library),
            at,
            schema.required,
            schema.default,
            schema.default_at,
            schema.description,
            schema.constraints,
            schema.entry,
            schema.key,
        )
        schemas[name] = schema
        if not _check_types(
            name, schema, value_place(body, "type") if isinstance(body, Map) else at, library, findings
        ):
            schemas[name] = replace(schema, type="any", entry=None)
        if is_secret_name(name) and schema.type not in {"boolean", "integer", "float"}:
            secret.add(name)
        if schema.type.endswith("Credential"):
            secret.add(name)
    return Inputs(schemas, raw.at, frozenset(secret))


def _type_name(schema: Schema, library: Library) -> str:
    return schema.type if schema.type in SIMPLE_TYPES else library.full_name("data", schema.type) or schema.type


def _check_types(name: str, schema: Schema, at: Place, library: Library, findings: Findings) -> bool:
    if schema.type not in SIMPLE_TYPES and library.full_name("data", schema.type) is None:
        hint = meant(schema.type, SIMPLE_TYPES)
        hint = hint if hint.startswith("did") else library.meant("data", schema.type)
        findings.add(Code.UNKNOWN_TYPE, at, f'the input "{name}" has the unknown type {schema.type}', hint)
        return False
    if schema.entry is not None:
        return _check_types(f"entries of {name}", schema.entry, schema.entry.place, library, findings)
    return True
