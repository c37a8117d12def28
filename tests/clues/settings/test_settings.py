"""The settings of cluesd: layers, units, and every problem in one error."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clues.options import Budgets, Expander, Pool
from clues.power.registry import driver_problems
from clues.settings import DOCS, HOOKS, Settings, describe, load_settings, reference
from infracore.errors import Misconfigured
from tests.laws import some

ROOT = Path(__file__).resolve().parents[3]


def load(tmp_path: Path, text: str, **environ: str) -> Settings:
    path = tmp_path / "clues.yaml"
    path.write_text(text, encoding="utf-8")
    return load_settings(environ=environ, config=path).value


def test_without_a_file_all_defaults_hold() -> None:
    loaded = load_settings(environ={"CLUES_DAEMON_DRY_RUN": "true"}, overrides={"policy.expander": "tiers"})
    assert loaded.value.daemon.dry_run
    assert loaded.value.policy.expander is Expander.TIERS
    assert loaded.origins["policy.expander"] == "command line"
    assert loaded.value.loop.burst_window_s == 0.05


def test_every_setting_has_a_sentence_and_every_sentence_a_setting() -> None:
    names = {option.name for option in describe()}
    assert names == set(DOCS)
    assert all(option.doc.endswith(".") for option in describe())
    assert len(HOOKS) == 14


def test_every_duration_names_its_unit() -> None:
    assert [o.name for o in describe() if o.name.endswith("_s") and o.unit != "s"] == []


def test_the_reference_page_is_the_one_of_these_settings() -> None:
    page = (ROOT / "docs" / "reference" / "clues-settings.md").read_text(encoding="utf-8")
    assert reference() in page, "run: python scripts/gen_clues_settings_docs.py"


def test_the_example_is_valid() -> None:
    found = load_settings(environ={}, config=ROOT / "systemd" / "clues.yaml").value
    assert found.daemon.dry_run
    assert found.pools[0].allocatable == {"cpu": 3900, "memory": 7 * 2**30, "ephemeral-storage": 20 * 2**30}
    assert [machine.name for machine in found.pools[0].machines] == ["wn-1", "wn-2", "wn-3", "wn-4"]


@pytest.mark.parametrize(
    ("written", "resource", "amount"),
    [
        ("4", "cpu", 4000),
        ('"4"', "cpu", 4000),
        ("0.5", "cpu", 500),
        ("1500m", "cpu", 1500),
        ("8Gi", "memory", 8 * 2**30),
        ("1e9", "memory", 10**9),
        ("1", "nvidia.com/gpu", 1),
        ("110", "pods", 110),
    ],
)
def test_allocatable_is_written_in_kubernetes_quantities(tmp_path, written, resource, amount) -> None:
    found = load(tmp_path, f"pools: [{{name: p, allocatable: {{{resource}: {written}}}}}]")
    assert found.pools == (Pool("p", allocatable={resource: amount}),)


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        load(
            tmp_path,
            """
loop: {tick_s: .nan}
actions: {drain_s: -1}
policy:
  utilization_threshold: 1.5
  budgets: [{nodes: lots, schedule: "61 * * * *", duration_s: 60}]
  schedules: [{schedule: "0 8 * * *", duration_s: 60, pool: nope}]
pools:
  - {name: a, driver: missing, min: 3, max: 2, allocatable: {cpu: 4 apples}}
  - {name: a}
  - {name: b, powered: true, machines: [{name: m}, {name: m}, {name: "UPPER CASE"}]}
lease: {renew_s: 60}
hooks: {idle: {command: [x], veto: true}}
daemon: {log_level: loud, metrics_listen: "here"}
""",
        )
    said = caught.value.message
    for part in (
        "loop.tick_s is nan",
        "actions.drain_s is -1",
        "utilization_threshold is 1.5",
        "nodes is 'lots'",
        "'61' is no minute",
        "no pool 'nope'",
        "no driver 'missing'",
        "min is 3, and max is 2",
        "4 apples",
        "pool a stands 2 times",
        "machine m stands 2 times",
        "no name of a Kubernetes node",
        "retry_s must be less",
        "hooks.idle.veto",
        "'loud'",
        "ADDRESS:PORT",
    ):
        assert part in said
    assert "clues.yaml:2: loop.tick_s" in said, "the place is named"


ALL_KINDS = """\
loop: {tik_s: 1}
policy:
  expander: cheapest
  max_nodes: 1.5
  budgets:
    - {nodes: lots}
pools:
  - name: wn
    driver: nowhere
    colour: red
  - name: big
    max: many
    min: 20
  - {min: 1}
  - name: rack
    powered: true
    machines:
      - {name: m, port: high}
      - {name: "UPPER CASE"}
  - name: late
    watts_idle: -3
drivers:
  ssh: {type: command, "on": [x], "off": [x], state: [x]}
  odd: 5
"""


def test_unknown_keys_wrong_types_and_what_is_out_of_range_are_told_together_in_the_order_of_the_file(tmp_path) -> None:
    path = tmp_path / "clues.yaml"
    path.write_text(ALL_KINDS)
    with pytest.raises(Misconfigured) as caught:
        load_settings(environ={}, config=path, drivers_of=driver_problems)
    assert [line.removeprefix(f"{path}:") for line in caught.value.message.splitlines()] == [
        "1: there is no setting 'loop.tik_s'; did you mean 'loop.tick_s'?",
        "3: policy.expander: Invalid enum value 'cheapest'; "
        "there are: price, least_nodes, least_waste, most_pods, tiers",
        "4: policy.max_nodes: Expected `int | null`, got `float`",
        "6: policy.budgets[0]: nodes is 'lots', and must be a number or a share such as 20%",
        "8: pool wn: allocatable must say what pods may ask of a fresh node, at least `cpu` and `memory`",
        "9: pool wn: there is no driver 'nowhere' under `drivers` (there: ssh)",
        f"10: pools[0].colour ('wn'): there is no key 'colour'; there are: {', '.join(Pool.__struct_fields__)}",
        "12: pools[1].max ('big'): Expected `int`, got `str`",
        "14: pools[2]: name is missing",
        "18: pools[3].machines[0].port ('m'): Expected `int`, got `str`",
        "19: pool rack: machine 'UPPER CASE': 'UPPER CASE' is no name of a Kubernetes node",
        "21: pool late: watts_idle is -3.0, and must be a number that is not negative",
        "23: drivers.ssh.state: there is no key 'state'; did you mean 'status'?",
        "24: drivers.odd: Expected `object`, got `int`",
    ]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("pools: [{name: p, max: many, min: 20}]", 1),
        ("pools: [{name: p, maxx: 50, min: 20}]", 1),
        ("lease: {retry_s: soon, renew_s: 1}", 1),
        ("pools: [{name: p, driver: d, allocatble: {cpu: 4}}]\ndrivers: {d: {type: fake}}", 1),
        ("pools: [{name: p, powered: true, machines: 3}]", 1),
        ("driver: {d: {type: fake}}\npools: [{name: p, driver: d, allocatable: {cpu: 4}}]", 1),
        ("policy: {budgets: [{nodes: 1, pool: p}]}\npools: 3", 1),
        ("pools: [{name: p, max: many}, {name: q, min: 20, max: 1}]", 2),
        ("pools: [{min: 1}, {name: q, min: 20, max: 1}]", 2),
        ("zzzzzz: 1\nloop: {tick_s: -1}", 2),
        ("- 1", 1),
    ],
)
def test_what_only_follows_from_another_error_is_not_told(tmp_path: Path, text: str, lines: int) -> None:
    with pytest.raises(Misconfigured) as caught:
        load(tmp_path, text)
    assert len(caught.value.message.splitlines()) == lines


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense: 1", "there is no setting 'nonsense'"),
        ("loop: {tik_s: 1}", "did you mean 'loop.tick_s'"),
        ("pools: [{name: p, colour: red}]", "colour"),
        ("pools: {}", "pools"),
        ("pools: [{name: p, min: many}]", "min"),
        ("policy: {expander: cheapest}", "cheapest"),
        ("loop: {tick_s: 1}\nloop: {tick_s: 2}", "stands twice"),
        ("policy: {max_nodes: 1.5}", "max_nodes"),
        ("hooks: {idle: {command: echo}}", "hooks.idle.command"),
        ("{", "not YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load(tmp_path, text)
    assert said in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("policy: {unneeded_s: 1e300}", "policy.unneeded_s is 1e+300, and at most 1e+09"),
        ("policy: {max_nodes: 99999999999999999999}", "policy.max_nodes is 1e+20, and at most"),
        ("policy: {expendable_below: -99999999999999999999}", "policy.expendable_below is -1e+20, and at most"),
        ("kubernetes: {connect_s: 1e300}", "kubernetes.connect_s is 1e+300, and at most 3600"),
        ("kubernetes: {request_s: 1e300}", "kubernetes.request_s is 1e+300, and at most 3600"),
        ("kubernetes: {page: 99999999999999999999}", "kubernetes.page is 1e+20, and at most 10000"),
        ("loop: {burst_window_s: 60}", "loop.burst_window_s is 60, and at most 10"),
        ("hooks: {idle: {timeout_s: 1e10}}", "hooks.idle.timeout_s is 1e+10, and at most 1e+09"),
        ("pools: [{name: p, max: 99999999999999999999}]", "pool p: max is 99999999999999999999, and at most"),
        ("pools: [{name: p, tier: -99999999999999999999}]", "pool p: tier is -99999999999999999999, and at most"),
        ("pools: [{name: p, boot_s: 1e300}]", "pool p: boot_s is 1e+300, and at most 1e+09"),
        (
            "policy: {schedules: [{schedule: '* * * * *', duration_s: 1e300, max: 99999999999999999999}]}",
            "policy.schedules[0]: duration_s is 1e+300, and at most 1e+09",
        ),
        (f"daemon: {{socket: /{'x' * 107}}}", "daemon.socket is longer than 107 bytes"),
        ("slurm: {restd: rest.sock}", "slurm.restd: 'rest.sock' is no http(s) address"),
        ("slurm: {restd: 'unix:rest.sock'}", "slurm.restd: 'unix:rest.sock' is no path of a socket"),
        ("slurm: {restd: 'https://h:6820', read: text}", "slurm.read is text, and slurmrestd answers in JSON"),
        ("slurm: {restd_token: /t}", "slurm.restd_token is set, and slurm.restd names no server"),
        ("slurm: {restd: 'http://192.0.2.1:6820', restd_token: /t}", "the token would go over the network in clear"),
    ],
)
def test_what_no_clock_socket_or_recording_can_hold_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load(tmp_path, text)
    assert said in caught.value.message


@pytest.mark.parametrize(("written", "meant"), [("2", "2"), ('"2"', "2"), ("20%", "20%"), ('"0"', "0")])
def test_a_budget_may_be_written_as_the_number_that_it_is(tmp_path: Path, written: str, meant: str) -> None:
    (budget,) = load(tmp_path, f"policy: {{budgets: [{{nodes: {written}}}]}}").policy.budgets
    assert budget == Budgets(meant)


def test_a_budget_needs_its_nodes_and_no_other_key(tmp_path: Path) -> None:
    for text in ("{pool: p}", "{nodes: 1, colour: red}", "{nodes: 1.5}", "{nodes: -1}"):
        with pytest.raises(Misconfigured, match=r"policy\.budgets"):
            load(tmp_path, f"policy: {{budgets: [{text}]}}")


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no settings file"):
        load_settings(environ={}, config=tmp_path / "none.yaml")
    with pytest.raises(Misconfigured, match="no settings file"):
        load_settings(environ={"CLUES_CONFIG": str(tmp_path / "none.yaml")})


@pytest.mark.parametrize("text", ["", "# pools: []\n", "{}", "pools:\n"])
def test_a_file_that_says_nothing_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(Misconfigured, match=r"clues\.yaml says nothing: there are no pools"):
        load(tmp_path, text)


def test_numbers_are_written_as_in_yaml_1_2(tmp_path: Path) -> None:
    text = "policy: {unneeded_s: 1e3, max_nodes: 1E2}\npools: [{name: 1e3, price: 1.5e3}]\n"
    text += "drivers: {d: {type: fake, call_s: 1e1}}"
    path = tmp_path / "clues.yaml"
    path.write_text(text)
    found = load_settings(environ={}, config=path, drivers_of=driver_problems).value
    assert (found.policy.unneeded_s, found.policy.max_nodes) == (1000.0, 100)
    assert [(pool.name, pool.price) for pool in found.pools] == [("1e3", 1500.0)]


def test_a_slurmrestd_that_can_be_is_accepted(tmp_path: Path) -> None:
    for text in ("restd: 'unix:/run/rest.sock'", "restd: 'http://127.0.0.1:6820', restd_token: /t",
                 "restd: 'https://h:6820', restd_token: /t"):  # fmt: skip
        assert load(tmp_path, f"slurm: {{{text}}}").slurm.restd


def test_credentials_become_paths(tmp_path: Path) -> None:
    text = "kubernetes: {kubeconfig: 'credential:kube'}\ndrivers: {im: {type: im, auth: 'credential:im-auth'}}"
    found = load(tmp_path, text, CREDENTIALS_DIRECTORY="/run/credentials/cluesd.service")
    assert found.drivers["im"]["auth"] == "/run/credentials/cluesd.service/im-auth"
    assert found.kubernetes.kubeconfig == "/run/credentials/cluesd.service/kube"
    path = tmp_path / "clues.yaml"
    with pytest.raises(Misconfigured, match="not started by systemd"):
        load_settings(environ={}, config=path, is_service=True)
    asked = load_settings(environ={}, config=path).value  # `clues config check`, before the service runs
    assert asked.drivers["im"]["auth"] == "credential:im-auth"
    with pytest.raises(Misconfigured, match="not the name"):
        load(tmp_path, "drivers: {im: {auth: 'credential:../x'}}", CREDENTIALS_DIRECTORY="/run")


@hypothesis_settings(max_examples=some(60), deadline=None)
@given(st.text(max_size=30))
def test_no_cron_text_crashes_the_check(text: str) -> None:
    from clues.settings.checks import cron_problem

    assert isinstance(cron_problem(text), str)


@pytest.mark.parametrize("good", ["* * * * *", "*/5 8-18 1,15 jan-mar mon-fri", "0 0 31 12 7", "5/10 * * * SUN"])
def test_cron_fields_that_are_valid(good: str) -> None:
    from clues.settings.checks import cron_problem

    assert cron_problem(good) == ""


@pytest.mark.parametrize(
    ("pool", "most"), [("driver: d", 2), ("driver: d, max_booting: 1", 1), ("driver: other", None), ("max: 1", None)]
)
def test_a_pool_boots_as_many_at_once_as_its_driver_lets(tmp_path: Path, pool: str, most: int | None) -> None:
    text = "drivers: {d: {type: fake, booting: 2}, other: {type: fake}}\n"
    text += "pools: [{name: p, allocatable: {cpu: 1, memory: 1Gi}, " + pool + "}]\n"
    assert load(tmp_path, text).pools[0].max_booting == most


@pytest.mark.parametrize(
    ("driver", "most"),
    [
        ("type: poe", 4),
        ("type: plug", 4),
        ("type: plug, booting: 2", 2),
        ("type: poe, booting: 0", None),
        ("type: wol", None),
        ("type: [poe]", None),
    ],
)
def test_boards_behind_a_switch_or_plug_boot_in_turn_unless_it_is_not_wanted(
    tmp_path: Path, driver: str, most: int | None
) -> None:
    text = "drivers: {d: {" + driver + "}}\npools: [{name: p, driver: d, allocatable: {cpu: 1, memory: 1Gi}}]\n"
    assert load(tmp_path, text).pools[0].max_booting == most
