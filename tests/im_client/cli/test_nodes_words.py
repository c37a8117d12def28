"""Words of `im nodes discover` that do not fit are refused before anything is asked."""

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--write",), "--write needs the inventory"),
        (("--board", "pi-1"), "--board needs the inventory"),
        (("--wait",), "nothing to wait for"),
        (("--sweep", "10.0.0.0/8"), "at most 1024"),
        (("--sweep", "home"), "is no network"),
        (("--prefix", "raspberry"), "not how a MAC address begins"),
        (("-i", "no-such-inventory"), "no inventory"),
        (("--timeout", "0"), "--timeout"),
        (("--port", "70000"), "--port"),
    ],
)
def test_what_does_not_fit_is_wrong_usage(im: Any, words: tuple[str, ...], said: str) -> None:
    answer = im("nodes", "discover", *words)
    assert answer.status == 2
    assert said in answer.err
    assert answer.out == ""


def test_a_recorded_key_that_cannot_be_read_stops_the_search(im: Any, tmp_path: Any) -> None:
    path = tmp_path / "state" / "raspberry_pi" / "pi-1" / "host_key.pub"
    path.parent.mkdir(parents=True)
    path.write_text("nothing of use\n")
    answer = im("nodes", "discover")
    assert answer.status == 2
    assert "pi-1/host_key.pub" in answer.err


def test_a_server_cannot_look_for_you(im: Any) -> None:
    answer = im("--server", "https://im.example.org:8800", "nodes", "discover")
    assert answer.status == 2
    assert "runs on this computer" in answer.err
