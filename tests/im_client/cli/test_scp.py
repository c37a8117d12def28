"""`im scp`: what is understood, and what is refused before anything is connected."""

from pathlib import Path

import pytest

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
topology_template:
  node_templates:
    web:
      type: tosca.nodes.Compute
      capabilities: {scalable: {properties: {min_instances: 0, max_instances: 9, default_instances: 2}}}
"""


@pytest.fixture(autouse=True)
def demo(im, tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(TEMPLATE)
    assert im("deploy", "web.yaml", "--provider", "fake", "--name", "demo", "-y").status == 0


def test_machines_of_fake_are_refused_as_im_ssh_refuses_them(im) -> None:
    answer = im("scp", "demo", "web.yaml", "web-1:")
    assert answer.status == im("ssh", "demo", "web-1").status == 2
    assert "cannot be logged in to" in answer.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("demo", "a", "b"), "all files go from this computer to a machine"),
        (("demo", "web-1:a", "web-2:b"), "all files go from this computer to a machine"),
        (("demo", "a", "web-1:b", "."), "all files go from this computer to a machine"),
        (("demo", "web-1:a", "web-2:b", "."), "files of several machines"),
        (("demo", ":a", "."), "which machine?"),
        (("web-1:a",), "from where, and to where?"),
        (("demo", "a", "web-9:"), "no machine 'web-9'"),
        (("demo", "a", "web:"), "web of demo has 2 machines"),
        (("demo", "a", "../web-1:"), "all files go from this computer"),
        (("--", "demo", "-rf", "--help:x"), "no machine '--help'"),
    ],
)
def test_what_cannot_be_meant_is_said(im, words: tuple[str, ...], said: str) -> None:
    answer = im("scp", *words)
    assert answer.status == 2
    assert said in answer.err


def test_a_word_that_is_an_infrastructure_and_a_file_is_not_guessed(im, tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("")
    answer = im("scp", "demo", "web.yaml", "web-1:")
    assert answer.status == 2
    assert "for the file write ./demo" in answer.err


def test_without_a_public_address_the_way_leads_through_the_front_end(im, tmp_path: Path) -> None:
    (tmp_path / "pair.yaml").write_text(
        TEMPLATE.replace("default_instances: 2", "default_instances: 1")
        + "    front:\n"
        + "      type: tosca.nodes.Compute\n"
        + "      capabilities: {endpoint: {properties: {network_name: PUBLIC}}}\n"
    )
    words = ["--provider", "fake", "--name", "pair", "--set", "direct=false", "-y"]
    assert im("deploy", "pair.yaml", *words).status == 0
    nodes = {node["name"]: node for node in im("show", "pair", "--json").json["nodes"]}
    told = im("ssh", "pair", "web", "--print")
    assert f"-J root@{nodes['front-1']['public_address']}:22" in told.out
    assert told.out.strip().endswith(nodes["web-1"]["private_address"])
    assert "-J" not in im("ssh", "pair", "front", "--print").out
