"""`im image` and `im scale --image` on the provider `fake`."""

from pathlib import Path

import pytest

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
imports: [types/custom_types.yaml]
topology_template:
  inputs:
    golden: {type: string, default: ""}
  node_templates:
    wn:
      type: tosca.nodes.indigo.Compute
      properties: {golden_image: {get_input: golden}}
      capabilities: {scalable: {properties: {min_instances: 0, max_instances: 9, count: 1}}}
    front:
      type: tosca.nodes.indigo.Compute
"""


@pytest.fixture(autouse=True)
def demo(im, tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(TEMPLATE)
    assert im("deploy", "web.yaml", "--provider", "fake", "--name", "demo", "-y").status == 0


@pytest.fixture
def saved(im) -> str:
    answer = im("-o", "provider=fake", "image", "save", "demo", "wn-1", "-y", "--json")
    assert answer.status == 0, answer.err
    return str(answer.json["name"])


def images_of(im) -> dict[str, str | None]:
    return {node["name"]: node["golden_image"] for node in im("show", "demo", "--json").json["nodes"]}


def phases(im) -> set[str]:
    return {node["phase"] for node in im("show", "demo", "--json").json["nodes"]}


def test_a_saved_machine_runs_again_and_its_image_is_listed_and_shown(im, saved: str) -> None:
    assert saved == "demo-wn"
    assert phases(im) == {"configured"}
    (listed,) = im("image", "list", "--json").json["images"]
    assert (listed["name"], listed["group"], listed["site"], listed["machine"]) == ("demo-wn", "wn", "fake", "wn-1")
    assert im("image", "show", "demo-wn", "--verify").status == 0
    assert "demo-wn" in im("image", "list").out


def test_new_machines_start_from_it_and_those_that_are_there_stay(im, saved: str) -> None:
    plan = im("scale", "demo", "wn=2", "--image", saved, "-y", "--json").lines[0]
    assert [step["id"] for step in plan["steps"]] == ["create:wn-2"]
    assert plan["steps"][0]["images"] == {"fake": "fake-demo-wn"}
    im("scale", "demo", "wn=3", "-y")  # from now on
    assert images_of(im) == {"front-1": None, "wn-1": None, "wn-2": "fake-demo-wn", "wn-3": "fake-demo-wn"}
    assert im("plan", "web.yaml", "--name", "demo", "--detailed-exitcode").status == 0
    im("scale", "demo", "wn=4", "--image", "none", "-y")
    assert images_of(im)["wn-4"] is None


def test_use_is_one_word_of_saving(im) -> None:
    assert im("image", "save", "demo", "wn-1", "--name", "w", "--use", "-y").status == 0
    im("scale", "demo", "wn=2", "-y")
    assert images_of(im)["wn-2"] == "fake-w"


def test_a_template_can_name_the_image(im, saved: str) -> None:
    im("deploy", "web.yaml", "--name", "demo", "-i", f"golden={saved}", "-y")
    im("scale", "demo", "wn=2", "-y")
    assert images_of(im) == {"front-1": None, "wn-1": None, "wn-2": "fake-demo-wn"}


def test_an_image_that_is_gone_keeps_no_cluster_from_growing(im, saved: str) -> None:
    im("scale", "demo", "wn=1", "--image", saved, "-y")
    assert im("image", "delete", saved, "-y").status == 0
    answer = im("scale", "demo", "wn=2", "-y")
    assert answer.status == 0
    assert "the golden image demo-wn of wn is gone" in answer.err
    assert images_of(im)["wn-2"] is None


def test_an_image_with_machines_on_it_is_not_deleted(im, saved: str) -> None:
    im("scale", "demo", "wn=2", "--image", saved, "-y")
    answer = im("image", "delete", saved, "-y")
    assert answer.status == 1
    assert "wn-2" in answer.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("scale", "demo", "wn=2", "--image", "nope", "-y"), "no golden image 'nope' at fake"),
        (("scale", "demo", "--remove", "wn-1", "--image", "demo-wn", "-y"), "which machines start from the image?"),
        (("image", "save", "demo", "wn-1", "-y"), "already"),
        (("image", "save", "demo", "wn-1", "--name", "../x", "-y"), "is no name of an image"),
        (("image", "save", "demo", "wn-1", "--name", "x", "--without", "etc", "-y"), "is no path of a machine"),
        (("image", "save", "demo", "wn-9", "-y"), "no machine 'wn-9'"),
        (("image", "save", "demo", "wn-1", "--name", "x"), "there is no terminal to ask on"),
        (("image", "show", "nope"), "there is no golden image 'nope'"),
        (("image", "delete", "nope", "-y"), "there is no golden image 'nope'"),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(im, saved: str, words: tuple[str, ...], said: str) -> None:
    before = im("show", "demo", "--json").json["nodes"]
    answer = im(*words)
    assert answer.status != 0
    assert said in answer.err
    assert im("show", "demo", "--json").json["nodes"] == before


def test_an_image_of_another_kind_of_machine_is_refused(im) -> None:
    im("image", "save", "demo", "front-1", "-y")
    answer = im("scale", "demo", "wn=2", "--image", "demo-front", "-y")
    assert answer.status == 2
    assert "of a machine of front, not of wn" in answer.err
