"""Trying again, decided by the class of the error.

stamina was to do this (docs/decisions/0010): it sleeps by `time.sleep`, takes neither a clock nor an event that
cancels, and does not ask the error how long to wait. What is left of it would be the loop below.
"""

import email.utils
import math
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from infracore.clock import Clock
from infracore.errors import Cancelled, InfraError, Transient

__all__ = ["Backoff", "asked_pause_s", "backoff_for", "retrying"]

_T = TypeVar("_T")
_SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]*)?")
_FOREVER_S: Final = 1e9


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often something is tried, and how long is waited in between: first, then `factor` times as long each time."""

    attempts: int = 5
    first_s: float = 1.0
    factor: float = 2.0
    most_s: float = 30.0
    most_asked_s: float = math.inf
    """An error that asks for a longer pause than this is not tried again."""

    def pause_s(self, failures: int, error: InfraError) -> float:
        """Return the pause after so many failures (from 1); never shorter than the error itself asks for."""
        pause = min(self.first_s * self.factor ** (failures - 1), self.most_s)
        asked = error.retry_after_s if isinstance(error, Transient) else None
        return max(pause, asked or 0.0)


def asked_pause_s(said: str, date: str = "") -> float | None:
    """Return the pause that HTTP's Retry-After asks for, None where it says nothing of use.

    `date` is the answer's Date, for a Retry-After that names a time. The pause may be as long as thirty years.
    """
    said = said.strip()
    if _SECONDS.fullmatch(said):
        return min(float(said), _FOREVER_S)
    try:
        until, now = email.utils.parsedate_to_datetime(said), email.utils.parsedate_to_datetime(date)
        return min(max(until.timestamp() - now.timestamp(), 0.0), _FOREVER_S)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def backoff_for(error: InfraError, rules: Mapping[type[InfraError], Backoff]) -> Backoff | None:
    """Return the rule of the error's nearest class; None: it is not tried again."""
    return next((rules[kind] for kind in type(error).__mro__ if kind in rules), None)


def retrying(
    call: Callable[[], _T],
    *,
    rules: Mapping[type[InfraError], Backoff],
    clock: Clock,
    cancel: threading.Event,
    jitter: Callable[[], float] | None = None,
    on_retry: Callable[[InfraError, float], None] | None = None,
) -> _T:
    """Call until it succeeds or the rule of its error has no attempts left; blocks for the pauses in between.

    `jitter` returns a number from 0 to 1 by which a pause grows, so that many callers do not return at once
    (`random.random`); the pause that the error asks for is never cut. `on_retry` gets the error and the pause.

    Raises:
        InfraError: the last error, or one that no rule names. Cancelled: while waiting.
    """
    failures: dict[Backoff, int] = {}
    while True:
        try:
            return call()
        except InfraError as error:
            backoff = backoff_for(error, rules)
            if backoff is None:
                raise
            failures[backoff] = failures.get(backoff, 0) + 1
            if failures[backoff] >= backoff.attempts:
                raise
            if isinstance(error, Transient) and (error.retry_after_s or 0.0) > backoff.most_asked_s:
                raise
            pause = backoff.pause_s(failures[backoff], error) * (1.0 + (jitter() if jitter else 0.0))
            if on_retry is not None:
                on_retry(error, pause)
            if clock.wait(cancel, pause):
                raise Cancelled("cancelled while waiting to try again") from error
