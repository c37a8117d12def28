"""The provider `im` before our own server, whose provider is `fake`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.contracts.im_site import ImHarness, opened

MARKERS = ("slow",)


@contextmanager
def harness(folder: Path) -> Iterator[ImHarness]:
    """Open the harness on a server of its own."""
    with opened("ours", folder, 10) as found:
        yield found
