"""What a provider may offer besides: to say in the plan what it would do, and what it cannot.

A plan that says so early runs no hooks (a drain, say) for a machine that then cannot be stopped.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from im_client.plan.model import Spec

__all__ = ["Foretells"]


@runtime_checkable
class Foretells(Protocol):
    """A provider that knows beforehand. Both may block for seconds, change nothing, and promise nothing."""

    def foretell(self, machines: Mapping[str, Spec]) -> Sequence[str]:
        """Return a sentence a machine that is to be made, by name.

        Raises:
            NoCapacity: there is no room for one of them. InfraError: the place cannot be asked.
        """
        ...

    def refusal(self, provider_id: str, action: str) -> str:
        """Return why a machine cannot take an action (a word of `plan.model.Action`), "" where it can."""
        ...
