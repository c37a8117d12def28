"""Layers, origins and messages of settings, for a program that does not exist."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
import pytest

from infracore.errors import Misconfigured
from infracore.settings import Loaded, load, options


class Mood(StrEnum):
    GOOD = "good"
    BAD = "bad"


class Oven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    heat: float = 180.0
    mood: Mood = Mood.GOOD
    grill: bool = False


@dataclass(frozen=True)
class Kitchen:
    cook: str = "nobody"
    guests: int | None = None
    book: Path = Path("book.txt")
    dishes: tuple[str, ...] = ()
    oven: Oven = Oven()  # noqa: RUF009 - it is frozen
    plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


BOMB = "plugins:\n  a0: {x: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]}\n" + "".join(
    f"  a{n}: {{x: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 9)
)
DOCS = {"oven.heat": ("How hot it is.", "°C")}


def kitchen(
    tmp_path: Path, *texts: str, env: dict[str, str] | None = None, cli: dict[str, object] | None = None
) -> Loaded[Kitchen]:
    files = [tmp_path / f"{number}.yaml" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    return load(Kitchen, "eat", files=files, environ=env or {}, overrides=cli or {}, docs=DOCS)


def test_without_any_layer_all_is_default(tmp_path: Path) -> None:
    loaded = load(Kitchen, "eat", files=[tmp_path / "none.yaml"], environ={}, overrides={}, docs={})
    assert loaded.value == Kitchen()
    assert set(loaded.origins.values()) == {"default"}


def test_a_stronger_layer_wins_and_every_value_knows_its_origin(tmp_path: Path) -> None:
    weak = "cook: weak\nguests: 1\noven:\n  heat: 100\n  grill: yes\n"
    strong = "# a comment\n\ncook: strong\noven: {mood: bad}\n"
    loaded = kitchen(tmp_path, weak, strong, env={"EAT_GUESTS": "2", "EAT_OVEN_HEAT": "90.5"}, cli={"oven.heat": "80"})
    assert loaded.value == Kitchen(cook="strong", guests=2, oven=Oven(80.0, Mood.BAD, True))
    assert loaded.origins == {
        "cook": f"{tmp_path}/1.yaml:3",
        "guests": "environment EAT_GUESTS",
        "book": "default",
        "dishes": "default",
        "oven.heat": "command line",
        "oven.mood": f"{tmp_path}/1.yaml:4",
        "oven.grill": f"{tmp_path}/0.yaml:5",
        "plugins": "default",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("oven:\n  hot: 3\n", r"0\.yaml:2: there is no setting 'oven.hot' \| did you mean 'oven.heat'\?"),
        ("cok: x\n", r"0\.yaml:1: there is no setting 'cok' \| did you mean 'cook'\?"),
        ("ovne: {heat: 1}\n", r"0\.yaml:1: there is no setting 'ovne' \| did you mean 'oven'\?"),
        ("grill: yes\n", r"0\.yaml:1: there is no setting 'grill' \| did you mean 'oven.grill'\?"),
        ("zzzzzz: 1\n", r"there is no setting 'zzzzzz' \| `config show` lists all settings"),
        ("cook: a\n\ncook: b\n", r"0\.yaml:3: cook stands twice"),
        ("plugins:\n  a: {x: 1}\n  a: {y: 1}\n", r"0\.yaml:3: plugins.a stands twice"),
        ("cook: a\noven: 3\n", r"0\.yaml:2: oven is not a mapping of settings"),
        ("- cook\n", r"0\.yaml:1: the file is not a mapping of settings"),
        ("cook: [\n", r"0\.yaml is not YAML: .*line 2"),
        ("oven:\n  heat: hot\n", r"0\.yaml:2: oven.heat: Expected `float`, got `str` \| run: eat config show --origin"),
        ("cook: x\nguests: many\n", r"0\.yaml:2: guests: Expected `int \| null`, got `str`"),
        ("oven: {mood: odd}\n", r"0\.yaml:1: oven.mood: Invalid enum value 'odd'"),
        ("dishes: [a, 3]\n", r"0\.yaml:1: dishes\[1\]: Expected `str`, got `int`"),
        ("book: 3\n", r"0\.yaml:1: book: Expected `str`, got `int`"),
        ("cook: 2026-13-45\n", r"0\.yaml:1: cook: month must be in 1\.\.12"),
        ("plugins: 3\n", r"0\.yaml:1: plugins is not a mapping of settings"),
        ("plugins: {a: 3}\n", r"0\.yaml:1: plugins.a: Expected `object`, got `int`"),
        ("plugins:\n  a:\n    x: [{p: 1,\n    p: 2}]\n", r"0\.yaml:4: plugins: p stands twice in one mapping"),
        ("? [a, b]\n: c\n", r"0\.yaml:1: the name of a setting must be one word"),
        ("plugins: &a {a: *a}\n", r"0\.yaml:1: an alias stands inside of what it stands for"),
        ("plugins: {a: &a {x: [*a]}}\n", r"0\.yaml:1: an alias stands inside of what it stands for"),
        (f"dishes:\n {'[' * 200_000}{']' * 200_000}", r"0\.yaml:2: nested deeper than 100"),
        (f"plugins: {'{a: ' * 200_000}", r"0\.yaml:1: nested deeper than 100"),
        (BOMB, r"0\.yaml:8: with its aliases this stands for more than 1000000 values"),
        ("book: ~no-such-user/b.txt\n", r"0\.yaml:1: book: '~no-such-user/b.txt': there is no such home folder"),
        ('book: "a\\0b"\n', r"0\.yaml:1: book: .* is no path"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_place(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        kitchen(tmp_path, text)
    assert re.search(expected, f"{caught.value.message} | {caught.value.hint}")


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = "cok: x\noven:\n  heat: hot\n  mood: odd\ndishes: [a, 3, b, 4]\nguests: 2\nbook: 3\n"
    with pytest.raises(Misconfigured) as caught:
        kitchen(tmp_path, text, env={"EAT_DISHES": "[a"}, cli={"oven.hot": "1"})
    file = f"{tmp_path}/0.yaml"
    assert caught.value.message.splitlines() == [
        f"{file}:1: there is no setting 'cok'; did you mean 'cook'?",
        f"{file}:3: oven.heat: Expected `float`, got `str`",
        f"{file}:4: oven.mood: Invalid enum value 'odd'; there are: good, bad",
        f"{file}:5: dishes[1]: Expected `str`, got `int`",
        f"{file}:5: dishes[3]: Expected `str`, got `int`",
        f"{file}:7: book: Expected `str`, got `int`",
        "environment EAT_DISHES: '[a' is no value of dishes",
        "there is no setting 'oven.hot'; did you mean 'oven.heat'?",
    ]


def test_no_more_than_fifty_are_said(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"dishes\[49\].*\nand 150 more$"):
        kitchen(tmp_path, f"dishes: {[3] * 200}")


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "oven:\n", "plugins:\n", "dishes:\n", "oven: {}\nplugins: {a: {}}\n"]
)
def test_a_file_or_section_with_nothing_in_it_says_nothing(tmp_path: Path, text: str) -> None:
    assert kitchen(tmp_path, text).value == Kitchen()


def test_aliases_are_written_out(tmp_path: Path) -> None:
    text = "plugins:\n  a: {x: &x {p: 1, q: [1]}}\n  b: {x: [*x, {<<: *x, p: 2}], y: *x}\n"
    one = {"p": 1, "q": [1]}
    assert kitchen(tmp_path, text).value.plugins["b"] == {"x": [one, {"p": 2, "q": [1]}], "y": one}


def test_a_home_folder_that_there_is_not_is_an_error_of_every_layer(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"environment EAT_BOOK: book: .*no such home folder"):
        kitchen(tmp_path, env={"EAT_BOOK": "~no-such-user/b.txt"})


def test_a_wrong_word_in_the_environment_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"environment EAT_OVEN_HEAT: oven.heat: Expected `float`"):
        kitchen(tmp_path, env={"EAT_OVEN_HEAT": "hot"})
    with pytest.raises(Misconfigured, match=r"environment EAT_DISHES: '\[a' is no value of dishes"):
        kitchen(tmp_path, env={"EAT_DISHES": "[a"})


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    assert kitchen(tmp_path, env={"EAT_BOOK": "", "EAT_COOK": ""}).value == Kitchen()


@pytest.mark.parametrize("name", ["chef", "oven", "oven.hot", "plugin.a"])
def test_a_word_of_the_command_line_that_is_no_setting_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Misconfigured, match=f"there is no setting '{name}'"):
        kitchen(tmp_path, cli={name: "x"})


def test_text_that_looks_like_something_else_stays_text_in_a_word(tmp_path: Path) -> None:
    loaded = kitchen(tmp_path, env={"EAT_COOK": "yes"}, cli={"book": "12"})
    assert (loaded.value.cook, loaded.value.book) == ("yes", Path("12"))


def test_words_of_other_types_are_read_as_yaml(tmp_path: Path) -> None:
    loaded = kitchen(tmp_path, env={"EAT_OVEN_GRILL": "on", "EAT_DISHES": "[soup, fish]"}, cli={"guests": "null"})
    assert loaded.value == Kitchen(dishes=("soup", "fish"), oven=Oven(grill=True))


def test_a_relative_path_in_a_file_is_taken_from_its_folder(tmp_path: Path) -> None:
    assert kitchen(tmp_path, "book: a/b.txt\n").value.book == tmp_path / "a" / "b.txt"
    assert kitchen(tmp_path, "book: /a/b.txt\n").value.book == Path("/a/b.txt")
    assert kitchen(tmp_path, "book: ~/b.txt\n").value.book == Path.home() / "b.txt"
    assert kitchen(tmp_path, env={"EAT_BOOK": "a/b.txt"}).value.book == Path("a/b.txt")


def test_below_a_free_setting_layers_are_merged_key_by_key(tmp_path: Path) -> None:
    loaded = kitchen(
        tmp_path,
        "plugins:\n  a:\n    x: 1\n    deep: {p: 1}\n  b: {y: 1}\n",
        "plugins:\n  a:\n    x: 2\n    deep: {q: 2}\n",
        cli={"plugins.b.y": "3", "plugins.c.z": "text"},
    )
    assert loaded.value.plugins == {"a": {"x": 2, "deep": {"p": 1, "q": 2}}, "b": {"y": 3}, "c": {"z": "text"}}
    assert loaded.origins["plugins.a.x"] == f"{tmp_path}/1.yaml:3"
    assert loaded.origins["plugins.a.deep.p"] == f"{tmp_path}/0.yaml:4"
    assert loaded.origins["plugins.b.y"] == loaded.origins["plugins"] == "command line"


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\xff")
    for path in (tmp_path, tmp_path / "bad.yaml"):
        with pytest.raises(Misconfigured, match="cannot read the settings file"):
            load(Kitchen, "eat", files=[path], environ={}, overrides={}, docs={})


def test_options_say_all_that_a_reference_page_needs() -> None:
    found = {option.name: option for option in options(Kitchen, "eat", DOCS)}
    heat = found["oven.heat"]
    assert (heat.default, heat.env, heat.doc, heat.unit) == (180.0, "EAT_OVEN_HEAT", "How hot it is.", "°C")
    assert {name: option.type_name for name, option in found.items()} == {
        "cook": "text",
        "guests": "integer | nothing",
        "book": "path",
        "dishes": "list of text",
        "oven.heat": "number",
        "oven.mood": "good | bad",
        "oven.grill": "yes/no",
        "plugins": "mapping",
    }
    assert [option.name for option in found.values() if option.free] == ["plugins"]
