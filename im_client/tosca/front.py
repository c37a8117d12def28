"""The front door of the TOSCA front end: one call from files to problems and a topology."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from im_client.topology.model import Topology
from im_client.topology.values import Value
from im_client.tosca.problems import Problem

__all__ = ["Analysis", "InputDefinition", "Reader", "analyse"]


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


@dataclass(frozen=True, slots=True)
class Analysis:
    """All that is to be said of a template. `topology` is None where an error stops lowering."""

    problems: tuple[Problem, ...]
    topology: Topology | None
    inputs: Mapping[str, InputDefinition] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Location -> text of all that was read and is not one of our type definitions."""


def analyse(
    template: str,
    reader: Reader,
    *,
    add_ons: tuple[str, ...] = (),
    inputs: Mapping[str, Value] | None = None,
    counts: Mapping[str, int] | None = None,
    require_inputs: bool = True,
) -> Analysis:
    """Read, merge, validate and lower a template with its add-ons.

    Without `require_inputs` a missing required input is a warning (`im validate`).
    `counts` replaces the number of machines of groups. Safe under threads; pure but for `reader`.
    """
    raise NotImplementedError  # being written
