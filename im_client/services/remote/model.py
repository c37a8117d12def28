"""What is seen of infrastructures of another server, and what is to be done to one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from im_client.plan.model import Phase, Plan
from im_client.remote.vms import phase_of
from im_client.services.model import Verb
from im_client.template.problems import Problem
from infracore.im_rest import Body, Vm

__all__ = ["Infrastructure", "Kind", "Machine", "Named", "RemotePlan"]


class Kind(StrEnum):
    """Whose server it is."""

    OURS = "im-clues"
    ORIGINAL = "Infrastructure Manager"
    """Any that is not ours: nothing is asked of it but what IM 2.0 has."""


@dataclass(frozen=True, slots=True)
class Named:
    """Which infrastructure, as plans are headed. `id` is "" for one that is to be made."""

    id: str
    name: str
    provider: str
    """The server's address."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One VM. `name` is unique in its infrastructure."""

    id: str
    name: str
    group: str
    phase: Phase
    vm: Vm | None = None
    """None where the server does not describe it (yet)."""

    @property
    def number(self) -> tuple[int, str]:
        """Sorts machines by their age: ids count up."""
        return (int(self.id), "") if self.id.isascii() and self.id.isdigit() else (2**31, self.id)


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """One infrastructure as its server shows it."""

    id: str
    name: str
    """The name that its RADL says, else its id."""
    state: str
    states: Mapping[str, str]
    """VM id to its state, in the server's words."""
    machines: tuple[Machine, ...] = ()
    """Empty in a listing."""
    aliases: tuple[str, ...] = ()
    """Other names that the server knows it by."""
    etag: str = ""

    @property
    def counts(self) -> Mapping[Phase, int]:
        """Return how many machines are in each phase."""
        found: dict[Phase, int] = {}
        for word in self.states.values():
            found[phase_of(word)] = found.get(phase_of(word), 0) + 1
        return found


@dataclass(frozen=True, slots=True)
class RemotePlan:
    """What is to be done to an infrastructure of a server; it has what plans are shown by (`Prepared`)."""

    verb: Verb
    infrastructure: Named
    plan: Plan
    is_new: bool = False
    warnings: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    body: Body | None = None
    """The template to send; None: only numbers of machines change."""
    clone_of: str = ""
    """The infrastructure that our server makes another one of; `body` says how it is called."""
    wanted: Mapping[str, int] = field(default_factory=dict)
    """Group to its number of machines."""
    removals: tuple[str, ...] = ()
    """Ids of VMs that go."""
    etag: str = ""
    """The version that the plan was made from, where the server has such."""
    source_changed: bool = False
    skip_hooks: bool = False
