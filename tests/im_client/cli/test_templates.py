"""`im templates`: where they are looked for, what is found, what is shown."""

from pathlib import Path

SECRETIVE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {template_name: vault, display_name: A Vault}
description: Keeps
  things safe.
topology_template:
  inputs:
    admin_password: {type: string, default: hunter2, description: Who may open it}
    api_token: {type: string, default: "random(16)"}
    size: {type: integer, description: How large}
  node_templates:
    box: {type: tosca.nodes.Compute}
  outputs:
    key_hole: {value: x, description: Where to look}
"""


def test_ours_are_listed_with_machines_and_what_they_are(im) -> None:
    listed = {one["name"]: one for one in im("templates", "list", "--json").json["templates"]}
    assert listed["slurm_cluster"]["machines"] == {"front": 1, "worker": 2}
    assert all(one["description"] and not one["problem"] for one in listed.values())
    assert "slurm_cluster" in im("templates", "list").out


def test_every_word_must_be_found_in_any_case(im) -> None:
    found = [one["name"] for one in im("templates", "search", "ELASTIC", "slurm", "--json").json["templates"]]
    assert found == ["slurm_elastic"]
    assert im("templates", "search", "no-such-word").err.startswith("no template speaks of")


def test_a_template_of_this_folder_comes_before_ours_of_the_same_name(im, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "slurm_cluster.yaml").write_text(SECRETIVE)
    assert im("templates", "show", "slurm_cluster", "--json").json["title"] == "A Vault"


def test_inputs_are_shown_and_secret_defaults_are_not(im, tmp_path: Path) -> None:
    own = tmp_path / "config" / "im" / "templates"
    own.mkdir(parents=True)
    (own / "vault.yaml").write_text(SECRETIVE)
    shown, told = im("templates", "show", "vault", "--json"), im("templates", "show", "vault")
    assert "hunter2" not in shown.out + told.out + im("templates", "list", "--json").out
    inputs = {one["name"]: one for one in shown.json["inputs"]}
    assert inputs["size"]["required"]
    assert inputs["admin_password"]["default"] == "***"
    assert "16 random letters" in told.out
    assert "must be given" in told.out
    assert shown.json["description"] == "Keeps things safe."
    assert shown.json["outputs"] == {"key_hole": "Where to look"}


def test_a_broken_template_is_listed_with_its_first_problem(im, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "bad.yaml").write_text("- not\n- a template\n")
    listed = {one["name"]: one for one in im("templates", "list", "--json").json["templates"]}
    assert "bad.yaml" in listed["bad"]["problem"]
    assert len(listed) > 5


def test_an_unknown_name_is_answered_with_those_there_are(im) -> None:
    answer = im("templates", "show", "../../etc/passwd")
    assert answer.status == 1
    assert "slurm_cluster" in answer.err
