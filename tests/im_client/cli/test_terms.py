"""`im plan` with prices, `--expire`, `--budget`, `im expire` and `im orphans`, as whole commands."""

import re
from pathlib import Path
from typing import Any

import pytest

from im_client.services.context import open_context
from im_client.state.store import Terms

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
topology_template:
  inputs: {count: {type: integer, default: 2}, cpus: {type: integer, default: 2}}
  node_templates:
    web:
      type: tosca.nodes.Compute
      capabilities:
        host: {properties: {num_cpus: {get_input: cpus}, mem_size: 1 GiB}}
        scalable: {properties: {min_instances: 0, max_instances: 9, default_instances: {get_input: count}}}
"""
SETTINGS = """\
provider: fake
providers:
  fake:
    most_cpus: 20
    images: [debian-12]
    notes: ["network net-1: the only one"]
    zone: nova
    shared: [key pair]
    sizes: [{name: medium, num_cpus: 2, mem_bytes: 4294967296, price: 0.05}]
"""


@pytest.fixture
def template(tmp_path: Path) -> str:
    (tmp_path / "web.yaml").write_text(TEMPLATE)
    (tmp_path / "im.yaml").write_text(SETTINGS)
    return "web.yaml"


def expire_now(tmp_path: Path, infra: str) -> None:
    environ = {"IM_STATE_DIR": str(tmp_path / "state"), "HOME": str(tmp_path)}
    with open_context(environ=environ, cwd=tmp_path) as ctx:
        ctx.store.set_terms(ctx.store.infrastructure(infra).id, Terms(ctx.clock.now() - 1), ctx.clock.now())


def test_a_plan_shows_size_image_zone_networks_price_and_room(im: Any, template: str) -> None:
    answer = im("plan", template, "--expire", "8h", "--budget", "0.5 USD")
    assert answer.status == 0, answer.err
    lines = answer.out.splitlines()
    row = next(line for line in lines if line.startswith("fake"))
    for words in ("web-1, web-2", "medium (2 CPUs, 4 GiB)", "debian-12", "nova", "0.05 USD each (settings)"):
        assert words in row
    assert any("network net-1: the only one" in line for line in lines)
    assert "Price: 0.1 USD an hour, 73.00 USD a month for what is made" in lines
    assert "Budget: 0.5 USD an hour" in lines
    assert "Room at fake: 0 of 20 CPUs used" in lines
    assert any(line.startswith("Lease: destroyed at 2") for line in lines)


def test_the_same_for_programs(im: Any, template: str) -> None:
    told = im("plan", template, "--budget", "0.5", "--unknown-prices", "allow", "--json").json
    assert told["forecast"]["choices"] == [
        {
            "site": "fake",
            "rank": 0,
            "machines": ["web-1", "web-2"],
            "size": "medium",
            "image": "debian-12",
            "zone": "nova",
            "num_cpus": 2,
            "mem_bytes": 4 * 2**30,
            "disk_bytes": None,
            "num_gpus": 0,
            "price": {"per_hour": 0.05, "currency": "USD", "source": "settings"},
            "notes": ["network net-1: the only one"],
        }
    ]
    assert told["forecast"]["made"] == {"per_hour": {"USD": 0.1}, "per_month": {"USD": 73.0}, "unpriced": []}
    assert told["forecast"]["quotas"]["fake"]["cpus"] == {"used": 0, "limit": 20, "is_firm": True}
    assert told["budget"] == {"per_hour": 0.5, "currency": "", "allows_unknown": True}
    assert told["expires_at"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--budget", "0.09"), "all machines together would cost 0.1 USD an hour, and the budget is 0.09"),
        (("--budget", "much"), "'much' is no budget"),
        (("--budget", "-1"), "'-1' is no budget"),
        (("--expire", "8"), "'8' is no time to live"),
        (("--expire", "1s"), "a minute at the least"),
        (("--unknown-prices", "allow"), "give one too: --budget"),
        (("-i", "cpus=64"), "web cannot be made: fake: no size fits: the closest, medium, has 2 CPUs, not 64"),
    ],
)
def test_what_does_not_fit_ends_with_2_and_makes_nothing(
    im: Any, template: str, words: tuple[str, ...], said: str
) -> None:
    answer = im("deploy", template, "-y", *words)
    assert answer.status == 2, answer.err
    assert said in answer.err
    assert im("list", "--json").json == {"infrastructures": []}


def test_terms_are_kept_shown_and_changed(im: Any, template: str) -> None:
    assert im("deploy", template, "--name", "demo", "-y", "--expire", "8h", "--budget", "0.2").status == 0
    assert re.search(r"in (8 h 00|7 h 59) m", im("list").out)
    shown = im("show", "demo").out
    assert "destroyed at 2" in shown
    assert "0.2 an hour" in shown
    refused = im("scale", "demo", "web=5", "-y")
    assert (refused.status, "would cost 0.25 USD" in refused.err) == (2, True)
    assert "lives for ever" in im("expire", "demo", "never").out
    assert im("show", "demo", "--json").json["expires_at"] is None
    assert "ENDS" not in im("list").out
    assert im("expire", "demo", "7d").status == 0
    assert im("deploy", template, "--name", "demo", "-y", "--expire", "never", "--budget", "none").status == 0
    told = im("show", "demo", "--json").json
    assert (told["expires_at"], told["budget"]) == (None, None)


def test_only_those_whose_time_is_over_are_destroyed(im: Any, template: str, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        assert im("deploy", template, "--name", name, "-y").status == 0
    assert im("expire", "--due", "-y").status == 0
    expire_now(tmp_path, "one")
    expire_now(tmp_path, "two")
    assert "due" in im("list").out
    assert im("expire", "--due").status == 2  # nobody answers
    answer = im("expire", "--due", "-y")
    assert answer.status == 0, answer.err
    assert "one: destroyed, its lease was over" in answer.err
    assert [one["name"] for one in im("list", "--json").json["infrastructures"]] == ["three"]


def test_one_that_cannot_be_destroyed_is_told_and_stops_no_other(im: Any, template: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        im("deploy", template, "--name", name, "-y")
        expire_now(tmp_path, name)
    fault = "providers.fake.faults=[{op: delete, error: Conflict, times: 1}]"
    answer = im("-o", fault, "-o", "parallel=1", "expire", "--due", "-y")
    assert answer.status == 4, answer.err
    assert len(im("list", "--json").json["infrastructures"]) == 1
    assert im("expire", "--due", "-y").status == 0
    assert im("list", "--json").json["infrastructures"] == []


@pytest.mark.parametrize("words", [(), ("demo",), ("demo", "--due"), ("demo", "8h", "--due"), ("demo", "soon")])
def test_expire_says_what_it_needs(im: Any, words: tuple[str, ...]) -> None:
    assert im("expire", *words).status == 2


def test_orphans_are_listed_and_removed_only_where_they_are_named(im: Any, template: str, tmp_path: Path) -> None:
    im("deploy", template, "--name", "demo", "-y")
    infra = im("show", "demo", "--json").json["id"]
    assert im("orphans", "--json").json == {"sites": ["fake"], "silent": [], "orphans": []}
    for path in (tmp_path / "state").glob("state.db*"):
        path.unlink()
    listed = im("orphans", "--json").json["orphans"]
    assert [(one["kind"], one["infrastructure"]) for one in listed] == [
        ("machine", infra),
        ("machine", infra),
        ("key pair", infra),
    ]
    assert all(one["created_at"] for one in listed if one["kind"] == "machine")
    assert "no infrastructure of this state has this id" in im("orphans").out
    assert im("orphans", "--remove").status == 2
    refused = im("orphans", "--remove", "-y")
    assert (refused.status, "other computers may know" in refused.err) == (2, True)
    assert im("orphans", "-y").status == 2
    assert im("orphans", "--remove", "--infrastructure", "another", "-y").status == 0
    assert len(im("orphans", "--json").json["orphans"]) == 3
    done = im("orphans", "--remove", "--infrastructure", infra, "-y", "--json")
    assert done.status == 0, done.err
    assert {one["result"] for one in done.json["orphans"]} == {"removed"}
    assert im("orphans", "--json").json["orphans"] == []
    assert "nothing is left at fake" in im("orphans").err


def test_a_site_that_cannot_be_asked_stands_in_the_json(im: Any, template: str, tmp_path: Path) -> None:
    (tmp_path / "im.yaml").write_text(SETTINGS + "sites:\n  gone: {provider: fake, capcity: 1}\n")
    answer = im("orphans", "--json")
    (silent,) = answer.json["silent"]
    assert (answer.status, silent["site"]) == (1, "gone")
    assert "capcity" in silent["error"]


def test_more_in_use_than_is_allowed_is_a_warning(im: Any, template: str) -> None:
    assert im("deploy", template, "--name", "demo", "-y").status == 0
    made = im("-o", "providers.fake.capacity=1", "plan", template, "--name", "other")
    assert "Room at fake: 2 of 1 machines used" in made.out
    assert "fake has room for 0 machines, and this makes 2" in made.out + made.err
