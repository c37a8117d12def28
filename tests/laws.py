"""How many examples a property is tried on: all of them by `make test`, an eighth by `make quick`."""

import os

__all__ = ["QUICK", "some"]

QUICK = "IM_CLUES_QUICK"
"""Environment variable that `scripts/run_tests.py --quick` sets."""


def some(count: int) -> int:
    """Return how many of `count` examples are tried in this run."""
    return max(5, count // 8) if os.environ.get(QUICK) else count
