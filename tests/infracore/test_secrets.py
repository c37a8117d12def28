"""A secret does not print itself, and rests sealed."""

import copy
import json
import pickle
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infracore.errors import Misconfigured
from infracore.secrets import Seal, Secret, redact
from tests.laws import some

SECRET = Secret("hunter2")


def test_no_way_of_printing_shows_the_text() -> None:
    shown = f"{SECRET} {SECRET!r} {SECRET!s:>20} {[SECRET]} { ({'a': SECRET}) } %s %r" % (SECRET, SECRET)
    assert "hunter2" not in shown
    assert SECRET.reveal() == "hunter2"


def test_it_is_neither_pickled_nor_turned_into_json() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(SECRET)
    with pytest.raises(TypeError, match="not pickled"):
        copy.deepcopy(SECRET)
    with pytest.raises(TypeError):
        json.dumps(SECRET)


def test_secrets_are_equal_by_their_text_and_to_nothing_else() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert (bool(Secret("")), bool(Secret("a"))) == (False, True)


def test_every_occurrence_is_redacted_the_longest_secret_first() -> None:
    secrets = [Secret("pass"), Secret("password"), Secret("abc")]
    assert redact("password pass passwordpass abc", secrets) == "*** *** ****** abc"


@settings(max_examples=some(40), deadline=None)
@given(st.text())
def test_what_is_sealed_opens_and_does_not_hold_the_text(text: str) -> None:
    seal = Seal(b"A" * 43 + b"=")
    sealed = seal.close(text)
    assert seal.open(sealed) == text
    assert len(text) < 4 or text.encode() not in sealed


def test_the_key_file_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "key"
    sealed = Seal.from_file(path).close("x")
    assert Seal.from_file(path).open(sealed) == "x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["key"]


def test_threads_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    seals: list[Seal] = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait(60)
        seals.append(Seal.from_file(tmp_path / "key"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    sealed = seals[0].close("x")
    assert [seal.open(sealed) for seal in seals] == ["x"] * 8


def test_another_key_and_changed_bytes_are_told(tmp_path: Path) -> None:
    sealed = Seal.from_file(tmp_path / "a").close("x")
    for seal, given_bytes in (
        (Seal.from_file(tmp_path / "b"), sealed),
        (Seal.from_file(tmp_path / "a"), sealed[:-4] + b"AAA="),
    ):
        with pytest.raises(Misconfigured, match="does not open with this key file"):
            seal.open(given_bytes)


def test_a_key_file_that_is_unusable_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("no key")
    path.chmod(0o600)
    with pytest.raises(Misconfigured, match="cannot use the key file"):
        Seal.from_file(path)
    path.chmod(0o640)
    with pytest.raises(Misconfigured, match="can be read by others") as caught:
        Seal.from_file(path)
    assert caught.value.hint == f"run: chmod 600 {path}"
    with pytest.raises(Misconfigured, match="cannot use the key file"):
        Seal.from_file(path / "below")
