"""Laws: writing gives back what was read, and no text whatever is more than a list of problems."""

import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from im_client.radl.jsonwriter import write as write_json
from im_client.radl.model import Contextualize, Deploy, Document, Feature, Operator, Recipe, Section, Soft, Step
from im_client.radl.text import write as write_text
from im_client.template.findings import Place, Source
from tests.im_client.radl.documents import document, look
from tests.im_client.radl.test_radl_json import TEXT
from tests.laws import some

HERE = Place(Source("doc.radl"), 1, 1)
NAMES = st.from_regex(r"[a-z_][a-z0-9_.\-]{0,8}", fullmatch=True).filter(
    lambda n: (
        n
        not in {
            "and",
            "soft",
            "contains",
            "system",
            "network",
            "configure",
            "deploy",
            "ansible",
            "option",
            "step",
            "with",
        }
        | {"contextualize", "description"}
    )
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=20).filter(lambda t: "@input." not in t)
NUMBERS = st.integers(-(10**12), 10**12) | st.floats(0, 10**6).map(lambda f: round(f, 3))


def _feature(name: str, operator: Operator, value: object, unit: str = "") -> Feature:
    return Feature(name, operator, value, unit, at=HERE, value_at=HERE)  # type: ignore[arg-type]


PLAIN = st.one_of(
    st.builds(_feature, NAMES, st.just(Operator.EQ), TEXTS),
    st.builds(_feature, NAMES, st.sampled_from([Operator.EQ, Operator.GE, Operator.LE, Operator.GT]), NUMBERS),
    st.builds(_feature, NAMES, st.just(Operator.GE), st.integers(0, 999), st.sampled_from(["GB", "MiB", "k"])),
    st.builds(_feature, NAMES, st.just(Operator.EQ), st.lists(TEXTS, max_size=3).map(tuple)),
)
CONTAINED = st.builds(_feature, NAMES, st.just(Operator.CONTAINS), st.lists(PLAIN, min_size=1, max_size=3).map(tuple))
FEATURES = st.lists(PLAIN | CONTAINED, max_size=4).map(tuple)
SOFTS = st.lists(
    st.builds(Soft, st.integers(0, 99), st.lists(PLAIN, min_size=1, max_size=2).map(tuple), at=st.just(HERE))
)
SECTIONS = st.lists(st.builds(Section, NAMES, FEATURES, at=st.just(HERE)), max_size=3).map(tuple)
SYSTEMS = st.lists(st.builds(Section, NAMES, FEATURES, SOFTS.map(tuple), at=st.just(HERE)), max_size=3).map(tuple)
BODIES = TEXTS.map(lambda t: t.strip()).filter(lambda t: "@end" not in t)
RECIPES = st.lists(st.builds(Recipe, NAMES, BODIES, at=st.just(HERE), text_at=st.just(HERE)), max_size=2).map(tuple)
DEPLOYS = st.lists(st.builds(Deploy, NAMES, st.integers(0, 9999), st.none() | NAMES, at=st.just(HERE)), max_size=3).map(
    tuple
)
STEPS = st.lists(
    st.builds(
        Step, NAMES, NAMES, st.none() | st.integers(1, 9), st.sampled_from([None, "cloud_init"]), at=st.just(HERE)
    ),
    max_size=3,
).map(tuple)
ORDERS = st.none() | st.builds(Contextualize, st.none() | st.integers(1, 999), steps=STEPS, at=st.just(HERE))
DOCUMENTS = st.builds(Document, SECTIONS, SECTIONS, SECTIONS, SYSTEMS, RECIPES, DEPLOYS, ORDERS)


@settings(max_examples=some(40))
@given(DOCUMENTS)
def test_a_document_that_is_written_reads_as_itself(made: Document) -> None:
    assert document(write_text(made)) == made


@settings(max_examples=some(40))
@given(DOCUMENTS)
def test_the_normal_form_is_its_own(made: Document) -> None:
    text = write_text(made)
    assert write_text(document(text)) == text


KNOWN = st.sampled_from(["cpu.count", "memory.size", "disk.1.size", "gpu.count"])
BOUNDS = st.builds(_feature, KNOWN, st.sampled_from([Operator.GE, Operator.LE, Operator.EQ]), st.integers(0, 10**9))
JSON_SYSTEMS = st.lists(
    st.builds(Section, NAMES, st.lists(BOUNDS, max_size=3).map(tuple), at=st.just(HERE)), max_size=3
).map(tuple)


@given(st.builds(Document, systems=JSON_SYSTEMS, recipes=RECIPES, deploys=DEPLOYS, contextualize=ORDERS))
def test_json_that_is_written_reads_as_the_same_json(made: Document) -> None:
    said = json.dumps(write_json(made))
    assert json.dumps(write_json(document(said))) == said


WORDS = st.sampled_from(
    [
        *("network", "system", "configure", "contextualize", "deploy", "ansible", "description", "n", "c", "(", ")"),
        *("[", "]", "and", "soft", "contains", "step", "with", "option", "=", ">=", "<", "1", "-1", "1.5", "GB", ","),
        *("'x'", '"', "'", "@begin", "@end", "@input.a@", "#", "cpu.count", "disk.0.applications", "{", "\\"),
        *("\u00e9", "\x00", "\n", "- tasks: []"),
    ]
)


@settings(max_examples=some(300))
@given(st.lists(WORDS, max_size=40).map(" ".join))
def test_any_sequence_of_words_is_read_with_problems_in_the_text(text: str) -> None:
    lines = text.split("\n")
    for problem in look(text).problems:
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1


@given(st.text(max_size=200) | st.text(string.printable, max_size=200))
def test_any_text_is_read(text: str) -> None:
    assert look(text) is not None


@given(st.binary(max_size=100))
def test_any_bytes_are_read(text: bytes) -> None:
    assert look(text) is not None


@given(st.integers(0, len(TEXT)), st.integers(0, 20), st.text(max_size=3))
def test_a_damaged_document_is_read(at: int, length: int, other: str) -> None:
    assert look(TEXT[:at] + other + TEXT[at + length :]) is not None


JSON_KEYS = [
    *("class", "id", "softs", "items", "weight", "recipes", "system", "vm_number", "cpu.count_min"),
    *("disk.0.applications", "step", "configure", "options", "reference"),
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(JSON_KEYS), inner, max_size=4),
    max_leaves=15,
)


@given(st.lists(VALUES, max_size=4))
def test_any_json_is_read(value: object) -> None:
    assert look(json.dumps(value)) is not None


HOSTILE = {
    "brackets": "[" * 20_000,
    "round": "system n (" + "(" * 20_000,
    "soft": "system n (" + "soft 1 (" * 10_000,
    "contains": "system n (" + "a contains (" * 10_000,
    "quotes": "system n (a = '" + "\\'" * 20_000,
    "lines": "'\n" * 20_001,
    "features": "system n (\n" + " and\n".join(f"x.{n} = 1" for n in range(3_000)),
    "systems": "".join(f"system s{n} ()\ndeploy t{n} 1\n" for n in range(3_000)),
    "parameters": "configure c (\n@begin\n" + "".join(f"- '@input.p{n}@'\n" for n in range(5_000)) + "@end\n)",
    "digits": f"system n (cpu.count = {'9' * 5000})\ndeploy n {'9' * 5000}",
    "index": f"system n (disk.{'9' * 5000}.size = 1 GB",
    "yaml": "system n ()\nconfigure n (\n@begin\n" + "[" * 10_000 + "\n@end\n)",
    "circle": "".join(f"configure c{n} (\n@begin\n- import_tasks: c{n + 1}.yml\n@end\n)\n" for n in range(3_000)),
    "objects": '{"a":' * 10_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_input_is_a_list_of_problems(text: str) -> None:
    analysis = look(text)
    assert analysis.topology is None
    assert 0 < len(analysis.problems) <= 1000


def test_ten_megabytes_are_one_problem() -> None:
    analysis = look(b"# " + b"x" * (10 * 2**20))
    assert [str(p.code) for p in analysis.problems] == ["too-large"]
