"""Models as people and boards write them, and which is which."""

import pytest

from im_client.providers.raspberry_pi.models import Model, parse_model
from infracore.errors import Misconfigured

GIB = 2**30


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("4B 8GB", Model("4B", 8 * GIB)),
        ("4b, 8 GiB", Model("4B", 8 * GIB)),
        ("Pi 4 2GB", Model("4B", 2 * GIB)),
        ("Raspberry Pi 4 Model B Rev 1.4", Model("4B")),
        ("Raspberry Pi 5 Model B Rev 1.0 16GB RAM", Model("5", 16 * GIB)),
        ("pi5 8gb", Model("5", 8 * GIB)),
        ("CM4 4GB", Model("CM4", 4 * GIB)),
        ("Raspberry Pi Compute Module 4 Rev 1.1", Model("CM4")),
        ("Compute Module 5 8GB", Model("CM5", 8 * GIB)),
        ("3B", Model("3B", GIB)),
        ("3B+ 1GB", Model("3B+", GIB)),
        ("Raspberry Pi 3 Model B Plus Rev 1.3", Model("3B+", GIB)),
        ("Zero 2 W", Model("Zero 2 W", GIB // 2)),
        ("Raspberry Pi Zero 2 W Rev 1.0", Model("Zero 2 W", GIB // 2)),
        ("zero 2 512MB", Model("Zero 2 W", GIB // 2)),
        ("500+", Model("500+", 16 * GIB)),
    ],
)
def test_a_model_is_read_however_it_is_written(text: str, model: Model) -> None:
    assert parse_model(text) == model
    assert model.cpus == 4


@pytest.mark.parametrize("text", ["", "6", "Zero W", "2B", "4C", "x86", "8GB", "4B 3GB", "5 512MB", "Banana Pi 4"])
def test_what_is_no_model_is_refused_with_those_that_are(text: str) -> None:
    with pytest.raises(Misconfigured) as raised:
        parse_model(text)
    assert "known: " in raised.value.hint or "there are: " in raised.value.hint


def test_a_board_whose_memory_nobody_said_counts_as_the_smallest() -> None:
    assert parse_model("4B").least_bytes == GIB
    assert parse_model("CM5").least_bytes == 2 * GIB
    assert parse_model("4B").refuses(parse_model("4B 2GB")) != ""


@pytest.mark.parametrize(
    ("board", "asked", "fits"),
    [
        ("4B 8GB", "4B", True),
        ("4B 8GB", "4B 4GB", True),
        ("4B 2GB", "4B 4GB", False),
        ("5 8GB", "4B 4GB", False),
        ("CM4 4GB", "4B", False),
    ],
)
def test_a_board_with_more_memory_will_do_and_another_model_will_not(board: str, asked: str, fits: bool) -> None:
    assert (parse_model(board).refuses(parse_model(asked)) == "") is fits
