"""The answer of a front end, and where it reads from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from im_client.template.problems import Problem
from im_client.topology.model import Topology
from im_client.topology.values import Value

__all__ = ["Analysis", "InputDefinition", "Reader"]


class Reader(Protocol):
    """Where the text of templates and imports comes from; the caller decides what may be read."""

    def read(self, location: str, /) -> bytes:
        """Return the file's bytes. `location` is an absolute path or an https URL.

        Raises:
            NotFound, Unauthorised, Misconfigured, Transient: with the reason; becomes a problem at the import.
        """
        ...

    def digest(self, location: str, /) -> str:
        """Return a hash of an implementation's text, or "" where it cannot be read now (an https artifact)."""
        ...


@dataclass(frozen=True, slots=True)
class InputDefinition:
    """One input of a template, for prompts and forms."""

    name: str
    type: str
    description: str = ""
    required: bool = True
    default: Value = None
    has_default: bool = False
    secret: bool = False
    random: int | None = None
    """The default says `random(N)`: whoever deploys makes a text of N characters once, and gives it ever after."""
    constraints: tuple[tuple[str, Value], ...] = ()
    """TOSCA's clauses with their arguments as they are written: `("in_range", (1, 10))`."""
    entry: str = ""
    """The type of the entries of a list or map."""
    file: str = ""
    line: int = 0
    """Where it is defined, from 1: problems of the value that is given for it stand there."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """All that is to be said of a template. `topology` is None where an error stops lowering."""

    problems: tuple[Problem, ...]
    topology: Topology | None
    inputs: Mapping[str, InputDefinition] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Location -> text of all that was read and is not one of our type definitions."""
