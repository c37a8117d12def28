"""Values of a topology: plain data whose leaves may be known only when machines run.

A `Value` is None, bool, int, float, str, `Secret`, a tuple or a mapping of values, or one of the
expressions below. TOSCA Simple Profile 1.3, section 4 defines the functions that they come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from infracore.secrets import Secret

__all__ = ["Attribute", "Concat", "Join", "OperationOutput", "Scope", "Token", "Value"]


class Scope(StrEnum):
    """Of which instances of the node an attribute speaks."""

    GROUP = "group"
    """All instances: the attribute is a list, one entry an instance, in the order of their index."""
    OWN = "own"
    """The instance on which the operation runs (SELF, HOST, SOURCE or TARGET that is this machine)."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """get_attribute: a run-time value of a machine group or of a component on it.

    `node` is a node template; `path` is the attribute's name and then keys or indices into it.
    For a group of machines `private_address` and `public_address` are lists (as IM has them);
    a first index picks the instance.
    """

    node: str
    path: tuple[str | int, ...]
    scope: Scope = Scope.GROUP


@dataclass(frozen=True, slots=True)
class OperationOutput:
    """get_operation_output: a value that an operation's playbook set (`im_outputs`)."""

    node: str
    interface: str
    operation: str
    name: str
    scope: Scope = Scope.GROUP


@dataclass(frozen=True, slots=True)
class Concat:
    """concat: the parts as text, one after another."""

    parts: "tuple[Value, ...]"


@dataclass(frozen=True, slots=True)
class Join:
    """join: the parts as text with a delimiter between them."""

    parts: "Value"
    delimiter: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    """token: the substring at a zero-based index after splitting at a separator."""

    text: "Value"
    separator: str
    index: int


Value: TypeAlias = (
    bool
    | int
    | float
    | str
    | Secret
    | Attribute
    | OperationOutput
    | Concat
    | Join
    | Token
    | tuple["Value", ...]
    | Mapping[str, "Value"]
    | None
)
