"""What may be set of every cloud. Adapters add their own."""

from collections.abc import Mapping

import msgspec

from im_client.providers.prices import check_price, currency_word

__all__ = ["CloudSettings"]


class CloudSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The part that all clouds share. Secrets are never here: they stand in the auth file or the environment."""

    credential: str = ""
    """Id of the line of the auth file; "": the only one of the cloud's type, else the environment."""
    image: str = ""
    """Image where a template says nothing of it: an id, a name or a pattern."""
    user: str = ""
    """Account of machines whose image does not say; "": by the image's distribution."""
    reachable: bool = True
    """Whether its machines can be logged in to."""
    direct: bool = False
    """Whether this computer reaches private addresses; if not, the way leads through a machine with a public one."""
    prices: Mapping[str, float] = {}
    """Size -> price of an hour, where the cloud does not tell it; wildcards are allowed.
    The very name counts first, then the longest pattern."""
    currency: str = "USD"
    request_s: float = 60.0
    """How long one answer may take."""
    attempts: int = 6
    """How often a request that may succeed when repeated is sent."""

    def __post_init__(self) -> None:
        for size, price in self.prices.items():
            check_price(price, size)
        msgspec.structs.force_setattr(self, "currency", currency_word(self.currency))
