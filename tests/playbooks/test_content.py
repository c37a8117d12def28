"""What holds for every role and playbook that comes along, without running them."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

PLAYBOOKS = Path(__file__).parents[2] / "playbooks"
ROLES = sorted(p for p in (PLAYBOOKS / "roles").iterdir() if p.is_dir())
PLAYS = [PLAYBOOKS / "raspberry_pi_cluster.yml"]
"""Playbooks that Ansible runs by itself, with its own plays and inventory."""
TASK_LISTS = sorted(set(PLAYBOOKS.glob("*.yml")) - set(PLAYS))
SHARED = {"im_endpoint": "cluesd", "k3s_program": "k3s_agent", "k3s_server": "k3s_agent"}
"""Roles without a scenario of their own, and the role whose scenario runs them too."""
TYPES = Path(__file__).parents[2] / "tosca_templates" / "types"
_BLOCKS = ("block", "rescue", "always")
_KEYWORDS = {
    *("name", "when", "vars", "loop", "loop_control", "register", "notify", "changed_when", "failed_when", "until"),
    *("retries", "delay", "no_log", "delegate_to", "run_once", "environment", "args", "ignore_unreachable", "become"),
    *("check_mode", "ignore_errors", "delegate_facts"),
}
_ROLES = {"ansible.builtin.import_role", "ansible.builtin.include_role"}
INCLUDE = "ansible.builtin.include_role"
_NOT_IN_CHECK_MODE = {
    *("Ask for its version", "Wait until the clock is right", "Ask whether the boot loader was written"),
}
"""They ask about what a run has changed: in check mode it has not."""
_COMMANDS = {"ansible.builtin.command", "ansible.builtin.shell", "ansible.builtin.script"}


@cache
def read(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


def tasks_in(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for item in items:
        if any(key in item for key in _BLOCKS):
            for key in _BLOCKS:
                yield from tasks_in(item.get(key, []))
        else:
            yield item


def task_files() -> list[Path]:
    inside = [f for role in ROLES for part in ("tasks", "handlers") for f in sorted((role / part).glob("*.yml"))]
    return [*TASK_LISTS, *inside]


def specs(role: Path) -> dict[str, dict[str, Any]]:
    return {k: v["options"] for k, v in read(role / "meta" / "argument_specs.yml")["argument_specs"].items()}


def module_of(task: dict[str, Any]) -> str:
    (module,) = set(task) - _KEYWORDS
    return module


@pytest.mark.parametrize("path", task_files(), ids=lambda p: str(p.relative_to(PLAYBOOKS)))
def test_tasks_have_names_and_use_modules_of_ansible_core_by_their_full_name_or_the_roles_own(path: Path) -> None:
    own = {file.stem for file in (path.parents[1] / "library").glob("*.py")}
    for task in tasks_in(read(path)):
        assert task["name"][0].isupper()
        assert module_of(task).startswith("ansible.builtin.") or module_of(task) in own


@pytest.mark.parametrize("path", task_files(), ids=lambda p: str(p.relative_to(PLAYBOOKS)))
def test_commands_say_when_they_change_something(path: Path) -> None:
    silent = [t["name"] for t in tasks_in(read(path)) if module_of(t) in _COMMANDS and "changed_when" not in t]
    assert silent == []


@pytest.mark.parametrize("name", ["raspberry_pi_base", "k3s_agent", "k3s_program", "air_gap", "longhorn_prerequisites"])
def test_what_later_tasks_need_to_know_is_asked_in_check_mode_too(name: str) -> None:
    files = sorted((PLAYBOOKS / "roles" / name / "tasks").glob("*.yml"))
    asks = [t for f in files for t in tasks_in(read(f)) if module_of(t) in _COMMANDS and t["changed_when"] is False]
    needed = {t["name"] for t in asks if "register" in t and "retries" not in t} - _NOT_IN_CHECK_MODE
    assert needed == {t["name"] for t in asks if t.get("check_mode") is False}


@pytest.mark.parametrize("path", task_files(), ids=lambda p: str(p.relative_to(PLAYBOOKS)))
def test_what_is_given_to_another_role_are_variables_that_it_has(path: Path) -> None:
    for task in tasks_in(read(path)):
        module = module_of(task)
        if module not in _ROLES:
            continue
        role = PLAYBOOKS / "roles" / task[module]["name"]
        entry = task[module].get("tasks_from", "main")
        assert (role / "tasks" / f"{entry}.yml").is_file()
        assert set(task.get("vars", {})) <= set(specs(role)[entry])


@pytest.mark.parametrize("path", PLAYS, ids=lambda p: p.name)
def test_plays_include_their_roles_so_that_a_tag_of_others_leaves_them_out_with_their_checks(path: Path) -> None:
    for play in read(path):
        assert "roles" not in play
        for task in tasks_in(play["tasks"]):
            module = module_of(task)
            assert module.startswith("ansible.builtin.")
            if module in _ROLES:
                assert module == "ansible.builtin.include_role"
                role, entry = PLAYBOOKS / "roles" / task[module]["name"], task[module].get("tasks_from", "main")
                assert role.name == "raspberry_pi_flash" or set(task.get("vars", {})) <= set(specs(role)[entry])


def test_what_was_brought_across_an_air_gap_is_checked_before_anything_is_changed_with_every_tag_that_changes() -> None:
    plays = read(PLAYBOOKS / "raspberry_pi_cluster.yml")
    (check,) = [
        n for n, play in enumerate(plays) if "check" in str(play["tasks"][0].get(INCLUDE, {}).get("tasks_from"))
    ]
    changing = [n for n, play in enumerate(plays) if any(INCLUDE in task for task in play["tasks"]) and n != check]
    asked = {n for n in changing if "never" not in plays[n]["tags"]}
    assert min(asked) > check
    assert {tag for n in asked for tag in plays[n]["tags"]} == set(plays[check]["tags"])


@pytest.mark.parametrize("guide", ["raspberry-pi-cluster.md", "behind-nat.md", "air-gap.md"])
def test_every_variable_that_a_guide_of_the_cluster_names_belongs_to_a_role_of_its_playbook_or_to_the_playbook(
    guide: str,
) -> None:
    text = (PLAYBOOKS.parent / "docs" / "howto" / guide).read_text(encoding="utf-8")
    book = PLAYBOOKS / "raspberry_pi_cluster.yml"
    tasks = [task for play in read(book) for task in tasks_in(play["tasks"])]
    roles = {task[INCLUDE]["name"] for task in tasks if INCLUDE in task} | {"k3s_program"}
    known = {name for role in roles for options in specs(PLAYBOOKS / "roles" / role).values() for name in options}
    prefixes = tuple(f"{role.name}_" for role in ROLES)
    named = set(re.findall(r"`([a-z][a-z0-9_]+)(?:`|:)", text))
    used = {name for name in named if name.startswith(prefixes) and name not in {role.name for role in ROLES}}
    files = (book.parents[1] / "inventories" / "raspberry_pi").rglob("*.yml")
    given = "".join(path.read_text(encoding="utf-8") for path in [book, *files])
    assert used
    assert [name for name in sorted(used - known) if name not in given] == []


@pytest.mark.parametrize("role", ROLES, ids=lambda p: p.name)
def test_variables_of_a_role_carry_its_name(role: Path) -> None:
    names = {name for options in specs(role).values() for name in options}
    for part in ("defaults", "vars"):
        names |= set(read(role / part / "main.yml"))
    for path in (role / "tasks").glob("*.yml"):
        for task in tasks_in(read(path)):
            if module_of(task) not in _ROLES:  # what is given to another role carries the name of that one
                names |= set(task.get("vars", {}))
            names |= set(task.get("ansible.builtin.set_fact", {}))
            names |= {task["register"]} if "register" in task else set()
    assert [n for n in sorted(names) if not n.startswith(f"{role.name}_")] == []


@pytest.mark.parametrize("role", ROLES, ids=lambda p: p.name)
def test_every_default_is_described_and_equal_in_the_arguments_of_a_role(role: Path) -> None:
    described = {name: option for options in specs(role).values() for name, option in options.items()}
    defaults = read(role / "defaults" / "main.yml")
    assert set(defaults) == {name for name, option in described.items() if not option.get("required")}
    for name, value in defaults.items():
        if "{{" in str(value):
            assert "default" not in described[name]
        else:
            assert described[name]["default"] == value


@pytest.mark.parametrize("role", ROLES, ids=lambda p: p.name)
def test_every_argument_has_a_type_a_description_and_a_line_in_the_readme(role: Path) -> None:
    readme = (role / "README.md").read_text(encoding="utf-8")
    for options in specs(role).values():
        for name, option in options.items():
            assert option["type"]
            assert option["description"]
            assert f"`{name}`" in readme
            for field, inner in option.get("options", {}).items():
                assert inner["description"]
                assert f"`{name}[].{field}`" in readme


@pytest.mark.parametrize("role", ROLES, ids=lambda p: p.name)
def test_every_role_has_a_scenario_that_proves_that_a_second_run_changes_nothing(role: Path) -> None:
    scenario = role.parent / SHARED.get(role.name, role.name) / "molecule" / "default"
    settings = read(scenario / "molecule.yml")
    assert settings["driver"]["name"] == "default"
    assert {"converge", "idempotence", "verify"} <= set(settings["scenario"]["test_sequence"])
    for path in settings["provisioner"]["playbooks"].values():
        assert (scenario / path).is_file()
    assert (scenario / "verify.yml").is_file()


def test_every_playbook_that_a_type_runs_exists_and_every_playbook_is_in_the_guide() -> None:
    named = {
        line.split("implementation:")[1].strip()
        for path in TYPES.glob("*.yaml")
        for line in path.read_text(encoding="utf-8").splitlines()
        if "implementation: playbooks/" in line
    }
    assert named
    assert [n for n in sorted(named) if not (PLAYBOOKS.parent / n).is_file()] == []
    guide = (PLAYBOOKS.parent / "docs" / "howto" / "roles.md").read_text(encoding="utf-8")
    assert [p.name for p in [*TASK_LISTS, *PLAYS] if f"`{p.name}`" not in guide] == []
