"""Prices that people set, of sizes by name or wildcard."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

__all__ = ["check_price", "currency_word", "set_price"]


def check_price(price: float, what: str) -> None:
    """Refuse what nobody can pay. The bound is asked this way round: .nan is no price.

    Raises:
        ValueError: it is negative, infinite or no number.
    """
    if not 0 <= price < float("inf"):
        raise ValueError(f"the price of {what} is {price:g}, and not 0 or more")


def currency_word(text: str) -> str:
    """Return a currency as budgets name it, in upper case.

    Raises:
        ValueError: it is not three letters (ISO 4217).
    """
    word = text.strip().upper()
    if len(word) != 3 or not (word.isascii() and word.isalpha()):
        raise ValueError(f"the currency is {text[:40]!r}, and not three letters such as EUR")
    return word


def set_price(prices: Mapping[str, float], size: str) -> float | None:
    """Return the price of a size: of its very name, else of the longest pattern that fits; None: of none."""
    if size in prices:
        return prices[size]
    fits = [pattern for pattern in prices if fnmatchcase(size, pattern)]
    return prices[max(fits, key=len)] if fits else None
