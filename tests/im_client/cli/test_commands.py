"""Whole commands on the provider `fake`: what they print, where, and how they end."""

import json
from pathlib import Path

import pytest

from tests.im_client.api.templates import tosca

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
description: Web servers
topology_template:
  inputs:
    size:
      type: integer
      default: 1
    word:
      type: string
      default: quiet
  node_templates:
    web:
      type: tosca.nodes.Compute
      capabilities:
        host:
          properties:
            num_cpus: { get_input: size }
            mem_size: 512 MiB
        scalable:
          properties: { min_instances: 0, max_instances: 9, default_instances: 2 }
  outputs:
    addresses: { value: { get_attribute: [web, private_address] } }
    word: { value: { get_input: word } }
"""


@pytest.fixture
def template(tmp_path: Path) -> str:
    (tmp_path / "web.yaml").write_text(TEMPLATE)
    return "web.yaml"


@pytest.fixture
def deployed(im, template: str) -> str:
    answer = im("deploy", template, "--provider", "fake", "--name", "demo", "-y")
    assert answer.status == 0, answer.err
    return "demo"


def test_validate_prints_exactly_the_promised_keys(im, template: str) -> None:
    answer = im("validate", template, "--json")
    assert answer.status == 0
    assert answer.json == {"problems": [], "machines": {"web": 2}, "inputs": 2, "outputs": 2}


def test_validate_ends_with_2_and_says_where_and_what(im, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(TEMPLATE.replace("num_cpus:", "nmu_cpus:"))
    answer = im("validate", "bad.yaml")
    assert answer.status == 2
    first, line, caret, *_ = answer.err.splitlines()
    assert first.startswith("bad.yaml:17:13: unknown-property: ")
    assert line == "   17 |             nmu_cpus: { get_input: size }"
    assert caret == "      |             ^"
    problem = im("validate", "bad.yaml", "--json").json["problems"][0]
    assert set(problem) == {"file", "line", "column", "code", "message", "hint", "level"}
    assert (problem["line"], problem["column"], problem["code"]) == (17, 13, "unknown-property")


def test_plan_changes_nothing_and_says_by_its_code_whether_something_would(im, template: str) -> None:
    words = ("plan", template, "--provider", "fake", "--name", "demo")
    assert im(*words).status == 0
    assert im(*words, "--detailed-exitcode").status == 3
    steps = im(*words, "--json").json["steps"]
    assert [(step["action"], step["node"]) for step in steps] == [("create", "web-1"), ("create", "web-2")]
    assert all(step["reason"]["code"] == "new" and step["reason"]["text"] for step in steps)
    assert im("list", "--json").json == {"infrastructures": []}


def test_the_plan_of_what_is_deployed_is_empty(im, template: str, deployed: str) -> None:
    answer = im("plan", template, "--name", deployed, "--detailed-exitcode")
    assert answer.status == 0
    assert "nothing to do" in answer.out


def test_deploy_prints_data_on_standard_output_and_the_rest_elsewhere(im, template: str) -> None:
    answer = im("deploy", template, "--provider", "fake", "-y")
    assert answer.status == 0
    assert [line.split()[0] for line in answer.out.splitlines()] == ["addresses", "word"]
    assert "Plan: 2 to create." in answer.err
    assert "deploy done, 2 machines well" in answer.err


def test_deploy_streams_plan_events_and_report_as_json_lines(im, template: str) -> None:
    answer = im("deploy", template, "--provider", "fake", "-y", "--json")
    kinds = [line["type"] for line in answer.lines]
    assert kinds[0] == "plan"
    assert kinds[-1] == "report"
    assert set(kinds[1:-1]) == {"event"}
    report = answer.lines[-1]
    assert report["state"] == "done"
    assert {node["name"] for node in report["nodes"]} == {"web-1", "web-2"}
    assert report["outputs"]["word"] == "quiet"


def test_deploying_again_does_nothing_and_prints_the_outputs(im, template: str, deployed: str) -> None:
    answer = im("deploy", template, "--name", deployed, "-y")
    assert answer.status == 0
    assert "nothing to do" in answer.err
    assert "quiet" in answer.out
    assert im("deploy", template, "--name", deployed, "-y", "--json").lines[-1]["outputs"]["word"] == "quiet"


@pytest.mark.parametrize(
    "words",
    [("deploy", "web.yaml"), ("destroy", "demo"), ("scale", "demo", "web=3")],
    ids=["deploy", "destroy", "scale"],
)
def test_without_a_terminal_and_without_y_a_command_that_asks_fails_at_once(im, deployed: str, words) -> None:
    before = im("show", deployed, "--json").json
    answer = im(*words)
    assert answer.status == 2
    assert "there is no terminal to ask on" in answer.err
    assert im("show", deployed, "--json").json == before


def test_a_kept_plan_is_done_once_and_then_refused(im, template: str, deployed: str) -> None:
    words = ("plan", template, "--name", deployed, "-i", "word=loud", "--out", "demo.plan")
    assert im(*words).status == 0
    assert im("scale", deployed, "web=3", "-y").status == 0
    answer = im("deploy", "demo.plan", "-y")
    assert answer.status == 1
    assert "moved on" in answer.err


def test_a_kept_plan_takes_no_other_inputs(im, template: str) -> None:
    assert im("plan", template, "--provider", "fake", "--name", "demo", "--out", "demo.plan").status == 0
    assert im("deploy", "demo.plan", "-y", "-i", "word=x").status == 2
    assert im("deploy", "demo.plan", "-y").status == 0
    assert im("show", "demo", "--json").json["machines"] == {"configured": 2}


def test_scale_touches_only_what_is_new(im, deployed: str) -> None:
    before = {node["name"]: node["provider_id"] for node in im("show", "--json").json["nodes"]}
    answer = im("scale", "web=3", "-y", "--json")
    assert answer.status == 0
    assert "infrastructure demo, the only one there is" in answer.err
    assert [step["node"] for step in answer.lines[0]["steps"]] == ["web-3"]
    after = {node["name"]: node["provider_id"] for node in im("show", "--json").json["nodes"]}
    assert {name: after[name] for name in before} == before
    assert set(after) == {"web-1", "web-2", "web-3"}


def test_scale_removes_the_machine_that_is_named(im, deployed: str) -> None:
    assert im("scale", deployed, "--remove", "web-1", "-y").status == 0
    assert [node["name"] for node in im("show", "--json").json["nodes"]] == ["web-2"]


@pytest.mark.parametrize("word", ["web", "web=", "web=-1", "web=two", "=3", "web=1.5"])
def test_scale_refuses_what_is_no_number_of_machines(im, deployed: str, word: str) -> None:
    assert im("scale", deployed, word, "-y").status == 2


def test_scale_refuses_more_than_the_template_allows(im, deployed: str) -> None:
    answer = im("scale", deployed, "web=10", "-y")
    assert answer.status == 2
    assert len(im("show", "--json").json["nodes"]) == 2


def test_with_several_infrastructures_none_is_guessed(im, template: str, deployed: str) -> None:
    assert im("deploy", template, "--provider", "fake", "--name", "other", "-y").status == 0
    for words in (("show",), ("outputs",), ("logs",), ("inventory",), ("scale", "web=1", "-y")):
        answer = im(*words)
        assert answer.status == 2, words
        assert "say which one" in answer.err
        assert "demo" in answer.err
    assert all(len(one["machines"]) == 1 for one in im("list", "--json").json["infrastructures"])


def test_destroy_never_takes_another_infrastructure_than_the_named_one(im, deployed: str) -> None:
    assert im("destroy", "-y").status == 2
    assert im("destroy", "nosuch", "-y").status == 1
    assert im("destroy", "dem", "-y").status == 1
    assert [one["name"] for one in im("list", "--json").json["infrastructures"]] == ["demo"]


def test_destroy_leaves_nothing(im, deployed: str) -> None:
    answer = im("destroy", deployed, "-y", "--json")
    assert answer.status == 0
    assert answer.lines[-1]["verb"] == "destroy"
    assert im("list", "--json").json == {"infrastructures": []}
    assert im("show", deployed).status == 1


def test_stop_and_start_leave_machines_as_they_were(im, deployed: str) -> None:
    before = {node["name"]: node["provider_id"] for node in im("show", "--json").json["nodes"]}
    assert im("stop", deployed).status == 0
    assert im("show", "--json").json["machines"] == {"stopped": 2}
    assert im("start", deployed, "web-1").status == 0
    assert im("show", "--json").json["machines"] == {"configured": 1, "stopped": 1}
    assert im("start", deployed).status == 0
    assert {node["name"]: node["provider_id"] for node in im("show", "--json").json["nodes"]} == before


def test_reboot_of_a_machine_that_is_not_there_is_refused(im, deployed: str) -> None:
    answer = im("reboot", deployed, "web-7")
    assert answer.status == 2
    assert "web-7" in answer.err


def test_one_output_is_printed_alone(im, deployed: str) -> None:
    assert im("outputs", deployed, "word").out == "quiet\n"
    answer = im("outputs", deployed, "nosuch")
    assert answer.status == 1
    assert "addresses, word" in answer.err


def test_inventory_has_every_machine_in_its_group(im, deployed: str) -> None:
    lines = im("inventory", deployed).out.splitlines()
    assert lines[-3:] == ["[web]", "web-1", "web-2"]
    assert set(im("inventory", deployed, "--json").json["all"]["hosts"]) == {"web-1", "web-2"}


def test_ssh_print_gives_a_command_and_writes_the_key_only_when_asked(im, deployed: str, tmp_path: Path) -> None:
    answer = im("ssh", deployed, "web-2", "--print", "--", "uname", "-a")
    assert answer.out.startswith("ssh -p 22 root@")
    assert answer.out.endswith(" uname -a\n")
    assert im("ssh", deployed, "web-2", "--print", "--key-file", "demo.key").status == 0
    assert (tmp_path / "demo.key").stat().st_mode & 0o777 == 0o600
    assert im("ssh", deployed, "web-2", "--print", "--key-file", "demo.key").status == 2


def test_a_group_with_several_machines_is_no_machine(im, deployed: str) -> None:
    answer = im("ssh", deployed, "web", "--print")
    assert answer.status == 2
    assert "web-1, web-2" in answer.err


def test_logs_tell_the_last_run_and_list_all(im, deployed: str) -> None:
    assert "create" in im("logs").out
    runs = im("logs", "--list", "--json").json["runs"]
    assert [(run["verb"], run["state"]) for run in runs] == [("deploy", "done")]
    assert im("logs", "--run", "nosuch").status == 1
    assert im("logs", "--run", runs[0]["id"], "--follow").status == 0


def test_inputs_come_from_files_and_words_win(im, template: str, tmp_path: Path) -> None:
    (tmp_path / "inputs.yaml").write_text("word: file\nsize: 2\n")
    words = ("deploy", template, "--provider", "fake", "--inputs", "inputs.yaml", "-i", "word=said", "-y", "--json")
    assert im(*words).lines[-1]["outputs"]["word"] == "said"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-i", "word"), "NAME=VALUE"),
        (("--inputs", "nosuch.yaml"), "nosuch.yaml"),
        (("-i", "nosuch=1"), "nosuch"),
        (("--set", "novalue"), "KEY=VALUE"),
    ],
)
def test_wrong_words_are_refused_with_2_and_nothing_is_made(im, template: str, words, said: str) -> None:
    answer = im("deploy", template, "--provider", "fake", "-y", *words)
    assert answer.status == 2, answer.err
    assert said in answer.err
    assert im("list", "--json").json == {"infrastructures": []}


def test_a_wrong_setting_says_where_it_stands(im, tmp_path: Path) -> None:
    (tmp_path / "im.yaml").write_text("parallel: many\n")
    answer = im("list")
    assert answer.status == 2
    assert "im.yaml:1" in answer.err


def test_config_show_says_where_each_setting_comes_from(im, tmp_path: Path) -> None:
    (tmp_path / "im.yaml").write_text("parallel: 7\nproviders: {existing: {password: hunter2}}\n")
    shown = im("-o", "lock_wait_s=5", "config", "show", "--origin", "--json").json
    assert shown["parallel"] == {"value": 7, "origin": f"{tmp_path}/im.yaml:1"}
    assert shown["lock_wait_s"] == {"value": 5, "origin": "command line"}
    assert shown["provider"]["origin"] == "default"
    assert "hunter2" not in json.dumps(shown)


def test_config_show_hides_the_address_of_the_database(im) -> None:
    shown = im("-o", "database_url=postgresql://ana:hunter2@host/im", "config", "show", "--origin")
    assert "***" in shown.out
    assert "hunter2" not in shown.out
    assert "hunter2" not in im("-o", "database_url=postgresql://ana:hunter2@127.0.0.1:1/im", "list").err


def test_a_worker_needs_a_database(im) -> None:
    answer = im("worker")
    assert answer.status == 2
    assert "set database_url" in answer.err


@pytest.mark.postgres
def test_commands_share_what_is_in_postgresql(im, tmp_path: Path, postgres_url: str) -> None:
    (tmp_path / "url").write_text(f"{postgres_url}\n")
    (tmp_path / "url").chmod(0o600)
    (tmp_path / "im.yaml").write_text("database_url_file: url\nprovider: fake\n")
    (tmp_path / "t.yaml").write_text(tosca(2))
    assert im("deploy", "t.yaml", "--name", "pair", "-y").status == 0
    assert [one["name"] for one in im("list", "--json").json["infrastructures"]] == ["pair"]
    assert not (tmp_path / "state" / "state.db").exists()
    state = im("doctor", "--provider", "fake", "--json").json["findings"]["state"]
    assert "PostgreSQL: 1 infrastructures" in json.dumps(state)
    assert im("destroy", "pair", "-y").status == 0
    assert im("list", "--json").json["infrastructures"] == []


@pytest.mark.ansible
def test_doctor_speaks_of_the_program_and_the_provider(im) -> None:
    answer = im("doctor", "--provider", "fake", "--json")
    assert {"program", "state", "fake"} <= set(answer.json["findings"])
    assert im("doctor", "--provider", "nosuch").status == 1


def test_a_defect_becomes_one_message_and_no_traceback(im, deployed: str, tmp_path: Path) -> None:
    (tmp_path / "state" / "state.db").write_bytes(b"this is no database, and it is longer than a header" * 100)
    for extra in tmp_path.glob("state/state.db-*"):
        extra.unlink()
    answer = im("list")
    assert answer.status != 0
    assert "Traceback" not in answer.err
    assert "hint: " in answer.err


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["no database", "no key"])
def test_doctor_reports_a_broken_state_as_one_finding_and_goes_on(im, tmp_path: Path, broken: str) -> None:
    state = tmp_path / "state"
    assert im("list").status == 0
    if broken == "no key":
        (state / "key").unlink()
    else:
        (state / "state.db").write_bytes(b"this is no database" * 500)
    assert im("list").status != 0
    answer = im("doctor", "--provider", "fake", "--json")
    found = answer.json["findings"]
    assert answer.status == 1
    assert [f["check"] for f in found["state"]] == ["store", "disk"]
    assert found["state"][0]["severity"] == "error"
    assert found["program"]
    assert {f["severity"] for f in found["fake"]} == {"ok"}
