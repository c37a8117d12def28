"""Which types are made ready. That threads then read them safely cannot be shown by a run that goes well."""

from typing import Any

import msgspec
import pytest

from clues.sources import listwatch
from infracore.structs import make_ready


class Odd(msgspec.Struct):
    """No document has such keys: msgspec refuses it."""

    both: dict[str, int] | dict[int, str]


def test_every_struct_of_the_packages_is_made_ready_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[type[Any]] = []
    monkeypatch.setattr(msgspec.msgpack, "Decoder", asked.append)
    make_ready("clues")
    assert listwatch._Page in asked  # what threads read first of all
    assert {kind.__module__.partition(".")[0] for kind in asked} == {"clues"}


def test_a_type_that_no_document_holds_is_passed_over() -> None:
    with pytest.raises(TypeError):
        msgspec.msgpack.Decoder(Odd)
    make_ready("tests")
