"""A scenario that is wrong is refused by one clear error with its id, and hides no other."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from clues.offline.answer import first_snapshot
from clues.offline.case import NOW, case_of
from clues.offline.format import Scenario
from clues.offline.objects import objects_of
from clues.offline.scenario import duration_s, read_scenarios, to_fit_case
from infracore.errors import Misconfigured

GOOD: dict[str, Any] = {
    "id": "X1",
    "pools": [{"name": "p", "cpu": 4, "memory": "8Gi"}],
    "nodes": [{"name": "p-1", "pool": "p"}],
    "pods": [{"name": "w", "count": 2, "cpu": "500m"}],
}


def _read(tmp_path: Path, *scenarios: object) -> Any:
    file = tmp_path / "scenarios.yaml"
    file.write_text(yaml.safe_dump({"version": 1, "scenarios": list(scenarios)}))
    return read_scenarios(file)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"podz": []}, "podz: there is no key 'podz'"),
        ({"pods": [{"name": "w", "cpus": 1}]}, r"pods\[0\]\.cpus: there is no key 'cpus'"),
        ({"pods": [{"name": "w", "count": "many"}]}, r"pods\[0\].count"),
        ({"pods": [{"name": "w", "count": -1}]}, "negative"),
        ({"pods": [{"name": "w", "count": 10**9}]}, "more than"),
        ({"pods": [{"name": "w"}, {"name": "w"}]}, "stands twice"),
        ({"pods": [{"name": "w", "node": "nowhere"}]}, "'nowhere' is not known"),
        ({"pods": [{"name": "w", "owner": "Deployment"}]}, "'Deployment' is not known"),
        ({"nodes": [{"name": "n", "pool": "q"}]}, "'q' is not known"),
        ({"nodes": [{"name": "n"}]}, "neither cpu nor memory"),
        ({"nodes": [{"name": "p-1", "pool": "p", "state": "asleep"}]}, "'asleep' is not known"),
        ({"pools": [{"name": "p", "min": 3, "max": 2}], "nodes": []}, "not 0 <= min <= max"),
        ({"history": [{"event": "nothing", "ago": "1m"}]}, "'nothing' is not known"),
        ({"id": 7}, "Expected `str`"),
    ],
)
def test_one_clear_error(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    read = _read(tmp_path, {**GOOD, **change}, {**GOOD, "id": "X2"})
    assert [scenario.id for scenario in read.scenarios] == ["X2"]
    (error,) = read.errors
    assert isinstance(error, Misconfigured)
    assert "scenario X1" in error.message or "number 1" in error.message
    with pytest.raises(Misconfigured, match=told):
        raise error


@pytest.mark.parametrize(
    "change",
    [
        {"pods": [{"name": "w", "cpu": "lots"}]},
        {"pods": [{"name": "w", "cpu": "-1"}]},
        {"pods": [{"name": "w", "memory": "1e400"}]},
        {"pods": [{"name": "w", "pending_for": "soon"}]},
        {"pods": [{"name": "w", "spread": [{"match": {}, "topology": "zone", "when": "maybe"}]}]},
        {"pools": [{"name": "p", "cpu": 1, "price": -1}]},
        {"settings": {"expander": "cheapest"}},
        {"settings": {"unneeded_time": "-5m"}},
        {"settings": {"utilization_threshold": 50}},
        {"pools": [{"name": "p", "cpu": 1, "taints": [{"key": "a", "effect": "Never"}]}]},
    ],
)
def test_quantities_times_and_words_are_checked(tmp_path: Path, change: dict[str, Any]) -> None:
    (scenario,) = _read(tmp_path, {**GOOD, **change}).scenarios

    def all_of_it() -> None:
        case_of(scenario, "scenario X1")
        list(objects_of(scenario, NOW, "scenario X1"))

    with pytest.raises(Misconfigured, match="X1"):
        all_of_it()


def test_a_section_without_anything_in_it_is_as_good_as_none(tmp_path: Path) -> None:
    nothing = {"pods": None, "nodes": None, "settings": None, "expect": None}
    read = _read(tmp_path, {**GOOD, **nothing}, {"id": "X2"})
    assert not read.errors
    assert [(s.pods, s.nodes, s.settings.max_drain) for s in read.scenarios] == [((), (), 1)] * 2


def test_two_of_one_id(tmp_path: Path) -> None:
    read = _read(tmp_path, GOOD, GOOD)
    assert len(read.scenarios) == 1
    assert "another one" in read.errors[0].message


@pytest.mark.parametrize("content", ["", "[]", "scenarios: 3", "version: 2\nscenarios: []", "a: 1\n---\nb: 2"])
def test_what_is_no_scenario_file(tmp_path: Path, content: str) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(content)
    with pytest.raises(Misconfigured):
        read_scenarios(file)


def test_one_that_cannot_be_read_hides_no_other_and_is_named(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(
        "scenarios:\n- id: A\n  pools:\n  - {name: p, price: .nan}\n- {id: B}\n- {id: C, id: C}\n"
        "- {id: D, pods: !!x []}\n- {id: E, pools: [{name: p, price: nan}]}\n- [1]\n- {id: F}\n"
    )
    read = read_scenarios(file)
    assert [scenario.id for scenario in read.scenarios] == ["B", "F"]
    for error, told in zip(
        read.errors,
        ["scenario A: line 4: '.nan' is not a finite number", "scenario C: line 6: the key 'id' stands twice",
         "scenario D: line 7: the tag", "scenario E: pool p: price is nan", "scenario number 6: Expected `object`"],
        strict=True,
    ):  # fmt: skip
        assert told in error.message
    as_json = tmp_path / "f.json"
    as_json.write_text(
        '{"scenarios": [{"id": "A", "pools": [{"name": "p", "price": NaN}]}, {"id": "B", "id": "B"}, {"id": "C"}]}'
    )
    read = read_scenarios(as_json)
    assert [[s.id for s in read.scenarios], len(read.errors)] == [["C"], 2]


def test_numbers_are_written_as_in_yaml_1_2(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(
        "scenarios: [{id: A, pools: [{name: 1e3, price: 1e308, max: 1E1}, {name: q, cpu: 1e1, price: 1.5E3}]}]"
    )
    (scenario,) = read_scenarios(file).scenarios
    assert [(p.name, p.price, p.max, p.cpu) for p in scenario.pools] == [
        ("1e3", 1e308, 10, 0),
        ("q", 1500.0, 10, "1e1"),
    ]


@pytest.mark.parametrize(
    ("content", "told"), [("", "is empty"), ("# x\n", "is empty"), ("scenarios: []", "no scenario")]
)
def test_a_file_with_no_scenario_says_so(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(content)
    with pytest.raises(Misconfigured, match=told):
        read_scenarios(file)


def test_times() -> None:
    assert [duration_s(text, "x") for text in ("10m", "1h30m", "45s", "500ms", "0", 7, "2d")] == [
        600.0, 5400.0, 45.0, 0.5, 0.0, 7.0, 172800.0,
    ]  # fmt: skip
    for text in ("", "ten", "10", "5 m", "-1m", float("nan"), -3, True):
        with pytest.raises(Misconfigured):
            duration_s(text, "x")


def test_objects_are_what_an_api_server_holds() -> None:
    text = {
        "id": "X",
        "pools": [{"name": "p", "cpu": 4, "memory": "8Gi", "zone": "z1", "gpu": 1, "labels": {"n": 3}}],
        "nodes": [{"name": "p-1", "pool": "p"}, {"name": "p-2", "pool": "p", "state": "booting"}],
        "daemonsets": [{"name": "agent", "cpu": "100m", "selector": {"zone": "z1"}}],
        "pods": [
            {"name": "a", "count": 2, "cpu": 1, "init": {"cpu": 2}, "gpu": 1, "volumes": [{"class_zones": ["z1"]}]},
            {"name": "s", "node": "p-1", "owner": "Static"},
            {"name": "g", "gated": True, "owner": "none"},
        ],
    }
    objects = list(objects_of(to_scenario(text), NOW, "X"))
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for item in objects:
        by_kind.setdefault(item["kind"], []).append(item)
    (node,) = by_kind["Node"]
    assert node["metadata"]["labels"]["topology.kubernetes.io/zone"] == "z1"
    assert node["metadata"]["labels"]["n"] == "3"
    assert node["status"]["allocatable"] == {
        "cpu": "4000m", "memory": str(8 << 30), "pods": "110", "nvidia.com/gpu": "1",
    }  # fmt: skip
    pods = {pod["metadata"]["name"]: pod for pod in by_kind["Pod"]}
    assert set(pods) == {"a-0", "a-1", "s", "g", "agent-p-1"}
    assert pods["a-0"]["spec"]["initContainers"][0]["resources"]["requests"] == {"cpu": "2000m"}
    assert pods["a-0"]["status"]["conditions"][0]["reason"] == "Unschedulable"
    assert pods["g"]["status"]["conditions"][0]["reason"] == "SchedulingGated"
    assert "ownerReferences" not in pods["g"]["metadata"]
    assert pods["s"]["metadata"]["ownerReferences"][0]["kind"] == "Node"
    assert len(by_kind["PersistentVolumeClaim"]) == len(by_kind["StorageClass"]) == 2
    assert by_kind["ReplicaSet"][0]["spec"]["replicas"] == 2


def test_nodes_keep_their_order_whatever_their_names_hash_to() -> None:
    names = [f"n-{number * 7919 % 100}" for number in range(100)]
    text = {
        "id": "X",
        "pools": [{"name": "p", "cpu": 4, "memory": "8Gi", "max": 100}],
        "nodes": [{"name": name, "pool": "p"} for name in names],
    }
    _, snapshot = first_snapshot(to_scenario(text))
    assert list(snapshot.nodes) == names


def to_scenario(text: dict[str, Any]) -> Scenario:
    import msgspec

    return msgspec.convert(text, Scenario)


def test_a_pool_of_machines_of_two_sizes_is_two_pools_to_decide() -> None:
    text = {
        "id": "X",
        "pools": [{"name": "pi", "cpu": 4, "memory": "8Gi", "powered": True}],
        "machines": [{"name": "a", "pool": "pi", "cpu": 2}, {"name": "b", "pool": "pi"}, {"name": "c", "pool": "pi"}],
    }
    pools = case_of(to_scenario(text), "X").pools
    assert [(p.allocatable["cpu"], [m.name for m in p.machines], p.max) for p in pools] == [
        (2000, ["a"], 1),
        (4000, ["b", "c"], 2),
    ]


def test_a_line_of_verdicts_is_checked() -> None:
    good = {"id": "P", "nodes": [{"name": "n", "cpu": 1, "memory": 1}], "pods": [{"name": "w"}], "verdict": {}}
    assert to_fit_case(good, "L").id == "P"
    for bad in ([], {}, {**good, "extra": 1}, {**good, "pods": [{"name": "w", "node": "m"}]}, {**good, "nodes": 3}):
        with pytest.raises(Misconfigured):
            to_fit_case(bad, "L")
    for count, told in ((1_000_000_000, "L: more than 200000 pods"), (-1, "L: pod w: count -1 is negative")):
        with pytest.raises(Misconfigured, match=told):
            to_fit_case({**good, "pods": [{"name": "w", "count": count}]}, "L")
