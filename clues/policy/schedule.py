"""Windows in time: what limits hold at a moment, and whether a pool may scale in then.

Cron fields are those of crontab(5): minute, hour, day of month, month, day of week (0 and 7 are Sunday), in UTC. Where
both days are restricted, one of them is enough. A window holds from each start on for its duration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

from clues.options import Policy, Pool

__all__ = ["Cron", "in_window", "limits_at", "parse_cron", "scale_in_closed"]

_RANGES: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_MONTHS: Final = {
    name: number + 1
    for number, name in enumerate(("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"))
}
_DAYS: Final = {name: number for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
_NAMES: Final[tuple[Mapping[str, int], ...]] = ({}, {}, {}, _MONTHS, _DAYS)
_MOST_DAYS: Final = 1500
"""Looked back at most so far: 29 February comes round within it."""


@dataclass(frozen=True, slots=True)
class Cron:
    """When something begins: sorted minutes and hours, and sets of days."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    def falls_on(self, day: date) -> bool:
        """Return whether it begins at some time of that day."""
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (of_month and of_week) if self.any_day or self.any_weekday else (of_month or of_week)

    def last_start(self, now: float, within_s: float) -> float | None:
        """Return the latest start in (now - within_s, now], as seconds since the epoch; None if there is none."""
        try:
            moment = datetime.fromtimestamp(now, UTC)
        except (OverflowError, OSError, ValueError):
            return None
        day, bound = moment.date(), (moment.hour, moment.minute)
        for back in range(int(min(max(within_s, 0.0) // 86400 + 2, _MOST_DAYS))):
            try:
                then = day - timedelta(days=back)
            except OverflowError:
                return None
            if not self.falls_on(then):
                continue
            found = self._latest(bound if back == 0 else (23, 59))
            if found is not None:
                at = datetime(then.year, then.month, then.day, *found, tzinfo=UTC).timestamp()
                return at if at > now - within_s else None
        return None

    def _latest(self, bound: tuple[int, int]) -> tuple[int, int] | None:
        for hour in reversed(self.hours):
            if hour < bound[0]:
                return hour, self.minutes[-1]
            if hour == bound[0]:
                minutes = [minute for minute in self.minutes if minute <= bound[1]]
                if minutes:
                    return hour, minutes[-1]
        return None


@lru_cache(maxsize=256)
def parse_cron(schedule: str) -> Cron | None:
    """Read five cron fields; None where they are none (the settings refuse such, so nothing is reported here)."""
    fields = schedule.split()
    if len(fields) != len(_RANGES):
        return None
    sets: list[frozenset[int]] = []
    for field, limits, names in zip(fields, _RANGES, _NAMES, strict=True):
        values = _field(field.lower(), limits, names)
        if values is None:
            return None
        sets.append(values)
    minutes, hours, days, months, weekdays = sets
    return Cron(
        tuple(sorted(minutes)),
        tuple(sorted(hours)),
        days,
        months,
        frozenset(day % 7 for day in weekdays),
        fields[2].startswith("*"),
        fields[4].startswith("*"),
    )


def _field(field: str, limits: tuple[int, int], names: Mapping[str, int]) -> frozenset[int] | None:
    least, most = limits
    values: set[int] = set()
    for part in field.split(","):
        span, slash, step_text = part.partition("/")
        step = _number(step_text, {}) if slash else 1
        first_text, dash, last_text = span.partition("-")
        if span == "*":
            first: int | None = least
            last: int | None = most
        else:
            first = _number(first_text, names)
            last = _number(last_text, names) if dash else (most if slash else first)
        if first is None or last is None or step is None or step < 1 or not least <= first <= last <= most:
            return None
        values.update(range(first, last + 1, step))
    return frozenset(values)


def _number(text: str, names: Mapping[str, int]) -> int | None:
    if text in names:
        return names[text]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 5 else None


def in_window(schedule: str, duration_s: float, now: float) -> bool:
    """Return whether a window holds now; one without a schedule always does."""
    if not schedule:
        return True
    cron = parse_cron(schedule)
    return cron is not None and duration_s > 0 and cron.last_start(now, duration_s) is not None


def limits_at(pools: Sequence[Pool], policy: Policy, now: float) -> Mapping[str, tuple[int, int]]:
    """Return each pool's (min, max) at this moment.

    Of several windows the later in the file wins, each for what it sets. A window for all pools comes before those
    that name the pool. A min above the max is cut to it: a limit is never exceeded to reach a minimum.
    """
    holding = [window for window in policy.schedules if in_window(window.schedule, window.duration_s, now)]
    holding.sort(key=lambda window: window.pool != "")
    limits: dict[str, tuple[int, int]] = {}
    for pool in pools:
        least, most = pool.min, pool.max
        for window in holding:
            if window.pool in {"", pool.name}:
                least = least if window.min is None else window.min
                most = most if window.max is None else window.max
        limits[pool.name] = (max(0, min(least, most)), max(0, most))
    return limits


def scale_in_closed(policy: Policy, now: float) -> frozenset[str]:
    """Return the pools that may not scale in now; "" stands for every pool."""
    return frozenset(
        window.pool
        for window in policy.schedules
        if window.no_scale_in and in_window(window.schedule, window.duration_s, now)
    )
