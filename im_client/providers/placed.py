"""What a provider may offer besides: to say which place it asks, so that another is not taken for it.

The settings, the environment or the auth file may lead to another region or project than yesterday. There none of the
machines is found, which must not be taken for their end.
"""

from typing import Protocol, runtime_checkable

from im_client.providers.base import Provider

__all__ = ["Placed", "identity_of"]


@runtime_checkable
class Placed(Protocol):
    """A provider that stands for one of several places."""

    def identity(self) -> str:
        """Return the same text for the same place in every process, without a secret; "": it does not know.

        Raises:
            InfraError: it has to log in to know, and cannot.
        """
        ...


def identity_of(provider: Provider) -> str:
    """Return which place a provider asks; "" where it does not tell."""
    return provider.identity() if isinstance(provider, Placed) else ""
