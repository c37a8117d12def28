"""YAML with places: the same values as PyYAML, and no text that brings it down."""

import textwrap

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from im_client.template.findings import Findings
from im_client.template.problems import Code
from im_client.tosca.source import Map, Seq, key_place, parse, value_place
from tests.laws import some


def read(text: str | bytes) -> tuple[Map | None, Findings]:
    findings = Findings()
    return parse(text if isinstance(text, bytes) else textwrap.dedent(text).encode(), "t.yaml", findings), findings


def codes(text: str | bytes) -> list[tuple[str, int, int]]:
    return [(p.code.value, p.line, p.column) for p in read(text)[1].all()]


def test_keys_and_values_know_where_they_were_written() -> None:
    body, _ = read("a:\n  b: [1, two]\n")
    assert body is not None
    inner = body["a"]
    assert isinstance(inner, Map)
    assert key_place(inner, "b")[1:] == (2, 3)
    assert value_place(inner, "b")[1:] == (2, 6)
    items = inner["b"]
    assert isinstance(items, Seq)
    assert value_place(items, 1)[1:] == (2, 10)


@pytest.mark.parametrize(
    "scalar",
    [
        "1",
        "01",
        "0x1F",
        "1_000",
        "1:30",
        "1.5",
        "1e3",
        ".inf",
        "yes",
        "No",
        "on",
        "true",
        "~",
        "null",
        "",
        "'1'",
        '"a\\n"',
        "20.11.9",
        "1.28",
        "!!str 5",
        "!!int '7'",
        "a: b".replace(": ", ":"),
        "|\n  text\n",
        ">\n  folded\n  text\n",
    ],
)
def test_scalars_mean_what_pyyaml_makes_of_them(scalar: str) -> None:
    text = f"key: {scalar}\n"
    assert read(text)[0] == yaml.safe_load(text)


def test_a_timestamp_stays_the_text_that_was_written() -> None:
    assert read("day: 2026-01-31\n")[0] == {"day": "2026-01-31"}


def test_merge_keys_bring_in_what_is_not_said() -> None:
    text = "base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\nall:\n  <<: [*b, *m]\n  x: 0\n"
    assert read(text)[0] == yaml.safe_load(text)


def test_a_duplicate_key_is_reported_where_it_is_said_again() -> None:
    assert codes("a: 1\nb: 2\na: 3\n") == [("duplicate-key", 3, 1)]


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        (b"", Code.EMPTY, 1),
        (b"# only a comment\n", Code.EMPTY, 1),
        (b"- a\n", Code.NOT_A_MAP, 1),
        (b"just text", Code.NOT_A_MAP, 1),
        (b"a: \xe9\n", Code.UNREADABLE, 1),
        (b"a: 1\n---\nb: 2\n", Code.YAML_SYNTAX, 2),
        (b"a:\n\tb: 1\n", Code.YAML_SYNTAX, 2),
        (b"a: [1\nb: 2\n", Code.YAML_SYNTAX, 2),
        (b"a: *nowhere\n", Code.YAML_SYNTAX, 1),
        (b"a: &x [*x]\n", Code.YAML_SYNTAX, 1),
        (b"a: !!python/name:os.system x\n", Code.YAML_SYNTAX, 1),
        (b"a: \x00\n", Code.YAML_SYNTAX, 1),
        (b"[a, b]: 1\nc: 2\n", Code.YAML_SYNTAX, 1),
        (b"a: 1\n" + b"#" * (4 * 2**20), Code.TOO_LARGE, 1),
    ],
)
def test_what_cannot_be_read_is_one_problem_with_its_line(text: bytes, code: Code, line: int) -> None:
    _, findings = read(text)
    assert [(p.code, p.line) for p in findings.all()] == [(code, line)]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_is_refused_and_does_not_crash(opening: str) -> None:
    assert [code for code, _, _ in codes(("a: " if opening in "[{" else "") + opening * 100_000)] == ["too-large"]


def test_an_alias_bomb_is_refused() -> None:
    bomb = "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 12))
    assert [code for code, _, _ in codes(bomb)] == ["too-large"]


def test_a_hint_names_the_tab() -> None:
    _, findings = read(b"a:\n\tb: 1\n")
    assert "tabs" in findings.all()[0].hint


@given(st.binary(max_size=300))
def test_no_bytes_raise(text: bytes) -> None:
    body, findings = read(text)
    assert (body is None) <= bool(findings.all())


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=some(40))
@given(st.dictionaries(st.text(max_size=6), plain, max_size=5, min_size=1))
def test_what_pyyaml_writes_reads_back_equal(value: dict[str, object]) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    body, findings = read(text.encode("utf-8", "surrogatepass"))
    if not findings.all():
        assert body == yaml.safe_load(text)
