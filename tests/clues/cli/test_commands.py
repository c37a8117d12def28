"""Whole commands of `clues`: what they print, where, what the daemon is asked, and how they end."""

from pathlib import Path

import pytest

from tests.clues.api.fake_control import NOW, FakeControl, a_status


def test_status_shows_pools_actions_and_rests(clues, control: FakeControl) -> None:
    control.state = a_status(problems=("the \x1b[31mAPI server",), dry_run=True, paused=True)
    answer = clues("status")
    assert answer.status == 0
    assert answer.err == ""
    for word in (
        "cluesd 0.1.0 decides, dry run: changes nothing, paused", "last pass 2.0 s ago in 3 ms",
        "3 pods pending, 1 of them no node can help", "rests for 2 m 00 s: quota exceeded", "problem: the \\x1b[31mAPI",
        "power-on  big-3  big   booting  30.0 s  1 pod like team/web-1",
    ):  # fmt: skip
        assert word in answer.out, word
    assert clues("status", "--json").json["pools"][1]["failed"] == 1


def test_a_daemon_that_waits_says_who_decides(clues, control: FakeControl) -> None:
    control.state = a_status(leader=False, holder="other-host")
    assert "waits: other-host decides" in clues("status").out


def test_nodes_says_why_each_stays_or_goes(clues, control: FakeControl) -> None:
    lines = {line.split()[0]: line for line in clues("nodes").out.splitlines()}
    assert lines["big-1"].split() == [
        "big-1", "big", "ready", "2", "h", "00", "m", "4", "3/4", "1", "GiB/4", "GiB", "not-unneeded-long-enough",
        "for", "8", "m", "00", "s",
    ]  # fmt: skip
    assert lines["big-2"].endswith("goes")
    assert lines["pi-1"].endswith("held")
    assert lines["pi-2"].endswith("disabled, 3 failures")
    assert [n["name"] for n in clues("nodes", "--pool", "big", "--state", "ready", "--json").json] == ["big-1", "big-2"]
    nothing = clues("nodes", "--state", "nosuch")
    assert (nothing.status, nothing.out, nothing.err) == (0, "", "no nodes that fit\n")


def test_pods_shows_kinds_of_pods_with_what_becomes_of_them(clues, control: FakeControl) -> None:
    answer = clues("pods")
    assert "team/web-1 and 1 like it  2      ordered        big" in answer.out
    assert "big: NodeResourcesFit (cpu: asks 64000m, 4000m free), and 1 other place" in answer.out
    assert len(clues("pods", "--outcome", "unschedulable", "--json").json) == 1
    control.verdicts = ()
    assert clues("pods").err == "no pending pods\n"


def test_why_tells_of_a_pod_pool_by_pool_with_what_would_help(clues, control: FakeControl) -> None:
    answer = clues("why", "team/huge")
    assert answer.status == 0
    assert "    big  NodeResourcesFit  cpu: asks 64000m, 4000m free\n" in answer.out
    assert "    pi   NodeAffinity      kubernetes.io/arch is arm64\n" in answer.out
    assert "what would have to change:\n    NodeResourcesFit: a pod that asks for less" in answer.out
    assert clues("why", "team/huge", "--json").json["details"]["verdict"]["outcome"] == "unschedulable"


def test_why_tells_of_a_node_until_when_it_stays(clues, control: FakeControl) -> None:
    out = clues("why", "big-1").out
    assert "state: ready for 2 h 00 m, pool big" in out
    assert "stays: not-unneeded-long-enough: it has not been unneeded for long enough (unneeded_s)" in out
    assert ", in 8 m 00 s, if nothing else keeps it then" in out
    assert "now: power-on, booting for 30.0 s" in clues("why", "big-3").out


def test_an_unknown_name_is_an_error_with_what_to_do(clues, control: FakeControl) -> None:
    answer = clues("why", "nosuch\x1b[2J")
    assert answer.status == 1
    assert answer.err.startswith("error: there is no node, machine or pod 'nosuch\\x1b[2J'\nhint: ")
    assert answer.out == ""


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("hold",), ("hold", (), "")),
        (("hold", "pi-1", "--reason", "x"), ("hold", ("pi-1",), "x")),
        (("release", "pi-1"), ("release", ("pi-1",))),
        (("poweron", "pi-1", "big=2"), ("power_on", ("pi-1", "big=2"))),
        (("poweroff", "big-1"), ("power_off", ("big-1",), False)),
        (("poweroff", "big-1", "--force", "-y"), ("power_off", ("big-1",), True)),
        (("enable", "pi-2"), ("enable", ("pi-2",))),
        (("disable", "pi-2", "--reason", "fan"), ("disable", ("pi-2",), "fan")),
    ],
)
def test_what_changes_something_asks_the_daemon_and_says_what_was_done(
    clues, control: FakeControl, words: tuple[str, ...], asked: tuple[object, ...]
) -> None:
    answer = clues(*words)
    assert answer.status == 0
    assert control.asked == [asked]
    assert answer.out == ""
    assert answer.err
    assert isinstance(clues(*words, "--json").json, list)


def test_force_is_not_used_without_an_answer(clues, control: FakeControl) -> None:
    answer = clues("poweroff", "big-1", "--force")
    assert answer.status == 2
    assert "add -y to answer yes" in answer.err
    assert control.asked == []


@pytest.mark.parametrize("words", [("poweroff",), ("poweron",), ("enable",), ("disable",), ("why",)])
def test_a_missing_name_is_wrong_usage(clues, control: FakeControl, words: tuple[str, ...]) -> None:
    assert clues(*words).status == 2
    assert control.asked == []


@pytest.mark.parametrize("words", [("status",), ("nodes",), ("pods",), ("why", "x"), ("hold",), ("report",)])
def test_without_a_daemon_everything_says_how_to_start_it(clues, words: tuple[str, ...]) -> None:
    answer = clues(*words)
    assert answer.status == 1
    assert answer.err.startswith("error: cluesd is not running: nothing listens on ")
    assert "systemctl start cluesd" in answer.err
    assert answer.out == ""


def test_the_socket_can_be_named(clues, control: FakeControl, tmp_path: Path) -> None:
    (tmp_path / "clues.yaml").write_text("pools: nonsense\n")
    assert clues("--socket", str(tmp_path / "s"), "status").status == 0
    broken = clues("status")
    assert broken.status == 1
    assert "note: the settings are not used" in broken.err


def test_config_check_says_all_that_is_wrong(clues, tmp_path: Path) -> None:
    good = clues("config", "check")
    assert (good.status, good.out) == (0, f"{tmp_path}/clues.yaml: well\npools: none\ndrivers: none\n")
    assert clues("config", "check", "--json").json["exists"] is True
    (tmp_path / "bad.yaml").write_text("policy:\n  unneded_s: 3\n")
    bad = clues("--config", str(tmp_path / "bad.yaml"), "config", "check")
    assert bad.status == 2
    assert "bad.yaml:2" in bad.err
    assert clues("config", "check", "bad.yaml").err == bad.err.replace(f"{tmp_path}/", "")
    assert "unneeded_s" in bad.err


@pytest.mark.parametrize(
    ("driver", "said"),
    [
        ("{type: nosuch}", "drivers.rack.type: 'nosuch' is none of"),
        ("{type: command}", "clues.yaml:2: drivers.rack: on is missing"),
        ("{type: command, 'on': [power, on], 'off': [power, 'off']}", "drivers.rack.on[1]: Expected `str`, got `bool`"),
        ("{type: fake, zonk: 1}", "clues.yaml:2: drivers.rack.zonk: there is no key 'zonk'"),
    ],
)
def test_config_check_says_what_cluesd_would_say_of_the_drivers(clues, tmp_path: Path, driver: str, said: str) -> None:
    (tmp_path / "clues.yaml").write_text(f"drivers:\n  rack: {driver}\n")
    answer = clues("config", "check")
    assert (answer.status, answer.out) == (2, "")
    assert said in answer.err


def test_config_check_says_what_is_wrong_with_every_driver(clues, tmp_path: Path) -> None:
    (tmp_path / "clues.yaml").write_text("drivers:\n  a: {type: nosuch}\n  b: {type: command}\n")
    answer = clues("config", "check")
    assert answer.status == 2
    assert "drivers.a.type" in answer.err
    assert "drivers.b:" in answer.err


def test_a_path_that_no_socket_can_have_is_said(clues) -> None:
    answer = clues("--socket", f"/tmp/{'x' * 200}", "status")
    assert answer.status == 2
    assert "longer than 107 bytes" in answer.err


def test_config_show_says_where_values_come_from_and_hides_secrets(clues, tmp_path: Path) -> None:
    (tmp_path / "clues.yaml").write_text("drivers:\n  bmc: {type: command, password: hunter2}\n")
    answer = clues("-o", "policy.unneeded_s=60", "config", "show", "--origin")
    assert answer.status == 0
    assert "hunter2" not in answer.out
    line = next(line for line in answer.out.splitlines() if line.startswith("policy.unneeded_s"))
    assert line.split() == ["policy.unneeded_s", "60.0", "command", "line"]
    assert clues("config", "show", "--json").json["daemon.socket"] == "/run/clues/clues.sock"


def test_now_is_the_daemons_not_this_computers(clues, control: FakeControl) -> None:
    assert control.state.now == NOW
    assert "up 1 h 00 m" in clues("status").out


def test_config_check_warns_of_what_a_pool_does_not_offer(clues, tmp_path: Path) -> None:
    (tmp_path / "clues.yaml").write_text(
        "drivers: {d: {type: fake}}\npools:\n- {name: a, driver: d, allocatable: {cpu: 4, memory: 8Gi}}\n"
        "- name: b\n  driver: d\n  allocatable:\n    cpu: 4\n    ephemeral-storage: 20Gi\n"
        "- {name: nodes-of-others}\n"
    )
    answer = clues("config", "check")
    assert answer.status == 0
    first, second = answer.err.splitlines()
    assert first.endswith("clues.yaml:3: pool a: allocatable has no ephemeral-storage: "
                          "no node is ordered from it for pods that ask for some")  # fmt: skip
    assert "clues.yaml:6: pool b: allocatable has no memory" in second
    assert len(clues("config", "check", "--json").json["warnings"]) == 2
    (tmp_path / "clues.yaml").write_text("policy: {unneeded_s: 60}\n")
    assert "warning: there are no pools" in clues("config", "check").err
