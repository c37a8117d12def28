"""The provider `im` before the original Infrastructure Manager and its Dummy cloud."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.contracts.im_site import ImHarness, opened

MARKERS = ("im_server",)


@contextmanager
def harness(folder: Path) -> Iterator[ImHarness]:
    """Open the harness on a server of its own."""
    with opened("original", folder, 3) as found:
        yield found
