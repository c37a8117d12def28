"""Reading text: what each way of writing means."""

import pytest

from im_client.radl.model import Operator, Unknown
from tests.im_client.radl.documents import document, look, said


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("'x'", "x"),
        ('"x"', "x"),
        ("''", ""),
        ("'it\\'s'", "it's"),
        ('"it\'s"', "it's"),
        ("'say \"x\"'", 'say "x"'),
        ("'a # b'", "a # b"),
        ("'C:\\foo'", "C:\\foo"),
        ("'a\\nb'", "a\\nb"),
        ("'ends with \\\\'", "ends with \\"),
        ("'two\nlines'", "two\nlines"),
        ("'caf\u00e9'", "caf\u00e9"),
        ("['a', \"b\"]", ("a", "b")),
        ("[]", ()),
    ],
)
def test_texts_and_lists(written: str, value: str | tuple[str, ...]) -> None:
    (system,) = document(f"system n (disk.0.image.url = {written})").systems
    assert system.features[0].value == value


@pytest.mark.parametrize(
    ("written", "value", "unit"),
    [
        ("1", 1, ""),
        ("1.5", 1.5, ""),
        ("-1", -1, ""),
        ("2g", 2, "g"),
        ("2 GB", 2, "GB"),
        ("1.5ECU", 1.5, "ECU"),
        ("512MiB", 512, "MiB"),
    ],
)
def test_numbers_and_units(written: str, value: float, unit: str) -> None:
    (system,) = document(f"system n (x = {written} and y = 'z')").systems
    assert (system.features[0].value, system.features[0].unit) == (value, unit)
    assert len(system.features) == 2


@pytest.mark.parametrize("operator", ["=", ">=", "<=", ">", "<"])
def test_operators_need_no_space(operator: str) -> None:
    (system,) = document(f"system n (cpu.count{operator}2)").systems
    assert system.features[0].operator is Operator(operator)


def test_the_words_of_the_language_may_be_written_large() -> None:
    found = document("SYSTEM n (cpu.count = 1 AND memory.size = 1 GB)\nDeploy n 2")
    assert [len(s.features) for s in found.systems] == [2]
    assert found.deploys[0].count == 2


def test_a_recipe_is_what_stands_between_begin_and_end_with_its_indentation() -> None:
    found = document("configure c (\n@begin\n\n  - tasks:  # (a 'note\n    - x: @y\n\n  @end\n)\nsystem s ()\n")
    (recipe,) = found.recipes
    assert recipe.text == "  - tasks:  # (a 'note\n    - x: @y"
    assert recipe.text_at.line == 4
    assert [s.name for s in found.systems] == ["s"]


def test_a_recipe_may_begin_on_the_line_of_its_tag() -> None:
    assert document("configure c (@begin - tasks: []\n@end)").recipes[0].text == " - tasks: []"


def test_windows_line_ends_are_line_ends() -> None:
    found = document(b"system n (\r\n  cpu.count = 1 # one\r\n)\r\ndeploy n 1\r\n")
    assert found.systems[0].features[0].at[1:] == (2, 3)
    assert found.deploys[0].at.line == 4


def test_a_section_may_be_only_mentioned() -> None:
    found = document("network net\nsystem n\nconfigure c\ndeploy n 1")
    sections = (*found.networks, *found.systems, *found.recipes)
    assert [(s.name, s.is_reference) for s in sections] == [("net", True), ("n", True), ("c", True)]


def test_contextualize_has_a_limit_options_and_steps_in_any_order() -> None:
    found = document(
        "contextualize 1200 (\n option ansible_version = '2.6'\n system n configure c with cloud_init step 2\n"
        " system n configure d step 1 with Ansible\n)\ncontextualize ( system m configure c )"
    ).contextualize
    assert found is not None
    assert found.max_time_s == 1200
    assert [o.name for o in found.options] == ["ansible_version"]
    steps = [(s.system, s.recipe, s.number, s.tool) for s in found.steps]
    assert steps == [("n", "c", 2, "cloud_init"), ("n", "d", 1, None), ("m", "c", None, None)]


def test_what_is_asked_for_softly_stands_apart() -> None:
    (system,) = document("system n (cpu.count >= 1 and soft 10 (cpu.count >= 2 and memory.size >= 1 GB))").systems
    assert [f.name for f in system.features] == ["cpu.count"]
    assert [(s.weight, len(s.features)) for s in system.softs] == [(10, 2)]


def test_a_parameter_without_a_value_is_kept_as_one() -> None:
    found = document("system n (cpu.count = @input.CPUs@)\ndeploy n @input.N@ @input.cloud@")
    assert found.systems[0].features[0].value == Unknown("CPUs")
    assert found.deploys[0].count == Unknown("N")
    assert found.deploys[0].cloud == "@input.cloud@"


@pytest.mark.parametrize("cloud", ["one", "egi.x-y", "'one'"])
def test_deploy_may_name_a_cloud(cloud: str) -> None:
    assert document(f"system n ()\ndeploy n 2 {cloud}\nsystem m ()").deploys[0].cloud == cloud.strip("'")


def test_reading_goes_on_behind_an_error() -> None:
    analysis = look("system a (x ! 1)\nsystem b (cpu.count = = 1)\nsystem c (cpu.count = -1)\n")
    assert [line.split(":")[0] for line in said(analysis)] == ["1", "2", "3"]


def test_a_typing_error_is_named_with_the_word_that_was_meant() -> None:
    hints = [p.hint for p in look("sytem a ()\nsystem b (memroy.size = 1 GB)").problems]
    assert hints == ["did you mean system?", "did you mean memory.size?"]
