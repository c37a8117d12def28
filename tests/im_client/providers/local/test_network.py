"""Addresses and names of links."""

import subprocess
import sys
from pathlib import Path

import pytest

from im_client.providers.local.network import Bridge, link_name
from im_client.providers.local.outbound import Outbound
from im_client.providers.local.settings import LocalSettings
from infracore.errors import NoCapacity, Unsupported

NET = "10.77.0.0/24"


def test_addresses_begin_after_those_of_services() -> None:
    assert Bridge.free_address(NET, set()) == "10.77.0.11"
    assert Bridge.free_address(NET, {"10.77.0.11", "10.77.0.12"}) == "10.77.0.13"


def test_all_addresses_are_used_before_there_is_no_capacity() -> None:
    used: set[str] = set()
    for _ in range(253):
        used.add(Bridge.free_address(NET, used))
    assert len(used) == 253
    assert "10.77.0.1" not in used
    with pytest.raises(NoCapacity):
        Bridge.free_address(NET, used)


def test_a_fixed_address_is_honoured_or_refused() -> None:
    assert Bridge.free_address(NET, set(), "10.77.0.200") == "10.77.0.200"
    for fixed, used in (("10.77.1.5", set()), ("10.77.0.1", set()), ("10.77.0.9", {"10.77.0.9"})):
        with pytest.raises(Unsupported):
            Bridge.free_address(NET, used, fixed)


def test_a_link_name_fits_the_kernel_and_differs_between_state_folders() -> None:
    names = {link_name(Path(root), token) for root in ("/a", "/b") for token in ("x", "y")}
    assert len(names) == 4
    assert max(map(len, names)) <= 15


@pytest.mark.parametrize("on_term", ["signal.signal(15, lambda *_: (time.sleep(0.3), exit()))", "signal.signal(15, 1)"])
def test_the_package_cache_has_ended_when_it_is_stopped(tmp_path: Path, on_term: str) -> None:
    """Whoever makes the next machine would take one that is about to end for one that serves."""
    folder = tmp_path / "apt-cache"
    script = f"import signal, time\n{on_term}\nprint('begun', flush=True)\nwhile True: time.sleep(1)"
    argv = ["apt-cacher-ng", "-c", script, str(folder)]
    with subprocess.Popen(argv, executable=sys.executable, stdout=subprocess.PIPE) as cache:
        assert cache.stdout is not None
        assert cache.stdout.readline() == b"begun\n"
        try:
            Outbound(tmp_path, LocalSettings()).remove(None)
            assert cache.poll() is not None
        finally:
            cache.kill()
