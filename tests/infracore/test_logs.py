"""What is logged, and what never is."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from infracore.errors import Misconfigured
from infracore.logs import configure_logs
from infracore.secrets import Secret

HIDDEN = Secret("hunter2-hunter2")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def logged(**options: Any) -> tuple[Any, io.StringIO]:
    stream = io.StringIO()
    configure_logs(stream, **options)
    return structlog.get_logger(), stream


def test_by_default_only_warnings_and_errors_are_logged() -> None:
    log, stream = logged()
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")
    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == ["c", "d"]


def test_json_has_one_object_a_line() -> None:
    log, stream = logged(level="debug", as_json=True)
    log.bind(node="wn-0").debug("started", count=3, where=None, names=("a", "b"), kind=KeyError)
    entry = json.loads(stream.getvalue())
    assert stream.getvalue().count("\n") == 1
    assert entry.pop("timestamp").endswith("Z")
    assert entry == {
        "event": "started",
        "level": "debug",
        "node": "wn-0",
        "count": 3,
        "where": None,
        "names": ["a", "b"],
        "kind": "<class 'KeyError'>",
    }


def test_people_get_a_line_without_colours_unless_they_are_asked_for() -> None:
    log, stream = logged()
    log.error("it failed", node="wn-0")
    assert stream.getvalue().split("Z ")[1] == "[error] it failed node=wn-0\n"
    log, stream = logged(colours=True)
    log.error("it failed")
    assert "\x1b[" in stream.getvalue()


@pytest.mark.parametrize("as_json", [True, False])
def test_no_secret_is_logged_wherever_it_stands(as_json: bool) -> None:
    log, stream = logged(as_json=as_json, secrets=(HIDDEN,))
    clear = HIDDEN.reveal()
    log.error(f"cannot log in with {clear}", key=HIDDEN, words=[HIDDEN, clear], more={clear: {"a": clear}})
    log.error("named", db_password="not-known", headers={"Authorization": "not-known"}, tokens=["not-known"])
    try:
        raise ValueError(f"bad {clear}")
    except ValueError:
        log.exception("failed")
    assert "bad ***" in stream.getvalue()
    assert [word for word in (clear, "not-known") if word in stream.getvalue()] == []


def test_a_level_that_there_is_not_is_refused() -> None:
    with pytest.raises(Misconfigured, match="there is no log level 'loud'"):
        configure_logs(io.StringIO(), level="loud")
