"""What a plan would make, where and for how much: told, refused where nothing fits, in the best order."""

import math
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from im_client.plan.model import Phase
from im_client.providers.offers import Offer, Price
from im_client.services.apply import apply
from im_client.services.context import Context, open_context
from im_client.services.costs import OverBudget, check_budget, cost_of_made
from im_client.services.model import ApplyReport, Choice, DeployRequest, Prepared
from im_client.services.plan_file import prepare_from_plan, save_plan
from im_client.services.prepare import prepare_deploy, prepare_destroy, prepare_scale
from im_client.services.reading import show
from im_client.services.room import with_room
from im_client.state.store import Budget, RunState, Terms
from infracore.errors import InfraError, InvalidUsage, TimedOut, Unauthorised
from infracore.exitcodes import ExitCode

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {template_name: burst}
imports: [types/custom_types.yaml]
topology_template:
  inputs:
    sites: {type: list, entry_schema: {type: string}, default: [campus, cloud]}
    choose: {type: string, default: order}
    cpus: {type: integer, default: 2}
    image: {type: string, default: ""}
    count: {type: integer, default: 3}
  node_templates:
    wn:
      type: tosca.nodes.indigo.Compute
      capabilities:
        scalable: {properties: {min_instances: 0, max_instances: 9, count: {get_input: count}}}
        host: {properties: {num_cpus: {get_input: cpus}, mem_size: 1 GiB}}
        os: {properties: {image: {get_input: image}}}
  policies:
    - where:
        type: tosca.policies.indigo.Placement
        targets: [wn]
        properties: {sites: {get_input: sites}, choose: {get_input: choose}}
"""
GIB = 2**30
CAMPUS = f"[{{name: big, num_cpus: 4, mem_bytes: {8 * GIB}, price: 0.2}}]"
CLOUD = (
    f"[{{name: small, num_cpus: 1, mem_bytes: {2 * GIB}, price: 0.02}}, "
    f"{{name: medium, num_cpus: 2, mem_bytes: {4 * GIB}, price: 0.05}}]"
)
SITES = {
    "sites.campus.provider": "fake",
    "sites.campus.sizes": CAMPUS,
    "sites.campus.images": "[debian-12]",
    "sites.cloud.provider": "fake",
    "sites.cloud.sizes": CLOUD,
    "sites.cloud.images": "[debian-12, ubuntu-24.04]",
    "sites.cloud.notes": "['network net-1: the only one']",
    "sites.silent.provider": "fake",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "t.yaml").write_text(TEMPLATE)
    return tmp_path


def opened(folder: Path, **more: str) -> AbstractContextManager[Context]:
    environ = {"IM_STATE_DIR": str(folder / "state"), "HOME": str(folder), "IM_CACHE_DIR": str(folder / "cache")}
    settings = {**SITES, "provider": "cloud", **{name.replace("__", "."): value for name, value in more.items()}}
    return open_context(environ=environ, cwd=folder, overrides=settings)


@pytest.fixture
def ctx(folder: Path) -> Iterator[Context]:
    with opened(folder) as context:
        yield context


def plan(ctx: Context, budget: Budget | None = None, lease_s: float | None = None, **inputs: object) -> Prepared:
    return prepare_deploy(ctx, DeployRequest("t.yaml", inputs=inputs, budget=budget, lease_s=lease_s))  # type: ignore[arg-type]


def do(ctx: Context, prepared: Prepared) -> ApplyReport:
    return apply(ctx, prepared, listener=lambda _: None, cancel=threading.Event())


def sites_of(prepared: Prepared) -> set[tuple[str, ...]]:
    return {step.sites for step in prepared.plan.steps}


def test_a_plan_tells_what_is_made_at_each_site_and_what_it_costs(ctx: Context) -> None:
    forecast = with_room(ctx, plan(ctx)).forecast
    assert [(c.site, c.rank, c.machines, c.offer.size, c.offer.image) for c in forecast.choices] == [
        ("campus", 0, ("wn-1", "wn-2", "wn-3"), "big", "debian-12"),
        ("cloud", 1, ("wn-1", "wn-2", "wn-3"), "medium", "ubuntu-24.04"),
    ]
    assert forecast.choices[1].offer.notes == ("network net-1: the only one",)
    assert forecast.made.per_hour == {"USD": pytest.approx(0.6)}
    assert set(forecast.quotas) == {"campus", "cloud"}


def test_machines_alike_are_asked_for_once_and_a_plan_that_makes_nothing_asks_nobody(ctx: Context) -> None:
    plan(ctx, count=9)
    asked = [call.op for call in ctx.provider("cloud").calls]  # type: ignore[attr-defined]
    assert asked.count("offer") == 1
    do(ctx, plan(ctx, count=9))
    before = asked_of(ctx)
    assert plan(ctx, count=9).plan.is_empty
    assert prepare_destroy(ctx, "burst").forecast.choices == ()
    assert asked_of(ctx) == before


def asked_of(ctx: Context) -> int:
    return sum(call.op == "offer" for call in ctx.provider("cloud").calls)  # type: ignore[attr-defined]


def test_a_site_without_the_image_or_size_is_left_out_and_a_note_says_why(ctx: Context) -> None:
    prepared = plan(ctx, image="ubuntu-24.04")
    assert sites_of(prepared) == {("cloud",)}
    assert any("campus is left out for wn: there is no image 'ubuntu-24.04'" in note for note in prepared.notes)
    prepared = plan(ctx, cpus=4)
    assert sites_of(prepared) == {("campus",)}
    assert any("cloud is left out for wn: no size fits" in note for note in prepared.notes)


@pytest.mark.parametrize("sites", [("campus", "cloud"), ("cloud",), ()])
def test_where_no_site_can_the_plan_is_refused_with_all_reasons_and_nothing_is_made(
    ctx: Context, sites: tuple[str, ...]
) -> None:
    with pytest.raises(InfraError, match=r"wn cannot be made: .*no size fits") as caught:
        plan(ctx, sites=sites, cpus=64)
    assert caught.value.exit_code is ExitCode.INVALID
    assert all(f"{site}: " in caught.value.message for site in sites or ("cloud",))
    with pytest.raises(InfraError, match="there is no image 'windows'"):
        plan(ctx, sites=sites, image="windows")
    assert ctx.store.infrastructures() == ()
    assert ctx.provider("cloud").list_machines() == []


@pytest.mark.parametrize(("error", "kind"), [("Unauthorised", Unauthorised), ("TimedOut", TimedOut)])
def test_a_site_that_cannot_be_asked_is_left_out_and_is_the_error_where_it_is_the_only_one(
    folder: Path, error: str, kind: type[InfraError]
) -> None:
    with opened(folder, sites__campus__faults=f"[{{op: offer, error: {error}, times: 9}}]") as ctx:
        assert sites_of(plan(ctx)) == {("cloud",)}
        with pytest.raises(kind):
            plan(ctx, sites=("campus",))


@pytest.mark.parametrize(("error", "kind"), [("Unauthorised", Unauthorised), ("TimedOut", TimedOut)])
def test_a_site_that_cannot_be_asked_is_asked_once_however_many_kinds_of_machines_there_are(
    folder: Path, error: str, kind: type[InfraError]
) -> None:
    front = "    front: {type: tosca.nodes.indigo.Compute}\n  policies:\n"
    (folder / "t.yaml").write_text(TEMPLATE.replace("  policies:\n", front))
    with opened(folder, sites__cloud__faults=f"[{{op: offer, error: {error}, times: 9}}]") as ctx:
        with pytest.raises(kind):  # and not Several
            plan(ctx, sites=("cloud",))
        asked = [call.op for call in ctx.provider("cloud").calls]  # type: ignore[attr-defined]
        assert asked.count("offer") == 1


@pytest.mark.parametrize(
    ("more", "order"),
    [
        ({}, ("cloud", "campus")),
        ({"sites__cloud__capacity": "2"}, ("campus", "cloud")),
        ({"sites__cloud__most_cpus": "5"}, ("campus", "cloud")),
        ({"sites__campus__currency": "EUR"}, ("campus", "cloud")),
        ({"sites__campus__sizes": CAMPUS.replace("0.2", "0.05")}, ("campus", "cloud")),
        ({"sites__cloud__sizes": CLOUD.replace(", price: 0.05", "")}, ("campus", "cloud")),
    ],
    ids=["price", "machines", "CPUs", "currencies", "order", "unknown"],
)
def test_the_cheapest_with_room_is_asked_first(folder: Path, more: dict[str, str], order: tuple[str, ...]) -> None:
    with opened(folder, **more) as ctx:
        assert sites_of(plan(ctx, choose="cheapest")) == {order}
        assert sites_of(plan(ctx)) == {("campus", "cloud")}
        do(ctx, plan(ctx, choose="cheapest"))
        assert {node.provider for node in show(ctx, "burst").nodes} == {order[0]}


def test_the_setting_counts_where_the_template_says_nothing(folder: Path) -> None:
    (folder / "t.yaml").write_text(TEMPLATE.replace(", choose: {get_input: choose}", ""))
    with opened(folder, placement="cheapest") as ctx:
        assert sites_of(plan(ctx)) == {("cloud", "campus")}


def test_a_cloud_that_a_policy_names_is_the_line_of_the_auth_file_with_this_id(folder: Path) -> None:
    (folder / "t.yaml").write_text(TEMPLATE.replace("sites: {get_input: sites}", "cloud_id: mine"))
    auth = folder / "auth"
    auth.write_text("id = other; type = Dummy; password = x\nid = mine; type = Dummy; password = sesame\n")
    auth.chmod(0o600)
    settings = {"auth_file": str(auth), "providers__fake__password": "sesame"}
    with opened(folder, sites__cloud__password="''", **settings) as ctx:
        prepared = plan(ctx)
        assert sites_of(prepared) == {("mine",)}
        assert do(ctx, prepared).state is RunState.DONE
        assert {node.provider for node in show(ctx, "burst").nodes} == {"mine"}
        assert len(ctx.provider("mine").list_machines()) == 3
        assert plan(ctx).plan.is_empty
        with pytest.raises(Unauthorised):
            ctx.provider("other")
        assert do(ctx, prepare_destroy(ctx, "burst")).state is RunState.DONE
    (folder / "t.yaml").write_text(TEMPLATE.replace("sites: {get_input: sites}", "cloud_id: gone"))
    with opened(folder, **settings) as ctx, pytest.raises(InvalidUsage, match="wn is placed at the cloud 'gone'"):
        plan(ctx)


def test_a_cloud_stands_before_the_sites_that_are_named_too(folder: Path) -> None:
    text = TEMPLATE.replace("sites: {get_input: sites}", "cloud_id: cloud, sites: {get_input: sites}")
    (folder / "t.yaml").write_text(text)
    with opened(folder) as ctx:
        assert sites_of(plan(ctx)) == {("cloud", "campus")}


def test_a_budget_holds_at_the_dearest_site_and_for_all_machines_together(ctx: Context) -> None:
    with pytest.raises(OverBudget, match=r"cost 0\.6 USD an hour, and the budget is 0\.5") as caught:
        plan(ctx, Budget(0.5), choose="cheapest")
    assert caught.value.exit_code is ExitCode.INVALID
    do(ctx, plan(ctx, Budget(0.61)))
    assert show(ctx, "burst").record.terms == Terms(None, Budget(0.61))
    with pytest.raises(OverBudget, match=r"0\.8 USD"):
        prepare_scale(ctx, "burst", {"wn": 4})
    assert prepare_scale(ctx, "burst", {"wn": 1}).plan.steps
    with pytest.raises(OverBudget):
        plan(ctx, count=4)
    do(ctx, plan(ctx, Budget(math.inf), count=4))
    assert show(ctx, "burst").record.terms == Terms()


def test_unknown_prices_and_other_currencies_are_refused_with_a_budget(folder: Path) -> None:
    with opened(folder, sites__campus__currency="EUR") as ctx:
        with pytest.raises(OverBudget, match="nobody says what wn-1, wn-2, wn-3 would cost"):
            plan(ctx, Budget(9), sites=("cloud", "silent"))
        assert plan(ctx, Budget(0.2, allows_unknown=True), sites=("silent",)).plan.steps
        assert plan(ctx, Budget(0.2, "USD"), sites=("cloud",)).plan.steps
        with pytest.raises(OverBudget, match="the budget is in EUR, and there are prices in USD"):
            plan(ctx, Budget(9, "EUR"), sites=("cloud",))


def test_a_site_that_is_used_beyond_its_limit_is_told_also_where_another_may_be_asked(folder: Path) -> None:
    with opened(folder) as ctx:
        do(ctx, plan(ctx))
    said = "campus uses 3 machines and allows {}: nothing more will fit"
    for most, told in ((1, True), (3, False)):
        with opened(folder, sites__campus__capacity=str(most)) as ctx:
            assert (said.format(most) in with_room(ctx, plan(ctx, count=5)).notes) is told


def test_a_currency_is_the_same_in_either_case(folder: Path) -> None:
    with opened(folder, sites__cloud__currency="eur") as ctx:
        assert plan(ctx, Budget(0.2, "EUR"), sites=("cloud",)).plan.steps
        assert plan(ctx, Budget(0.2, "eur"), sites=("cloud",)).plan.steps
    check_budget(Budget(1.0, "EUR"), cost_of_made([priced(1.0, "eur")]))


def test_no_number_is_within_no_budget() -> None:
    for price in (math.nan, math.inf):
        with pytest.raises(OverBudget, match="would cost"):
            check_budget(Budget(9.0), cost_of_made([priced(price, "USD")]))


def priced(price: float, currency: str) -> Choice:
    return Choice("cloud", ("wn-1",), Offer(price=Price(price, currency)))


def test_what_a_name_that_is_none_stands_for_in_the_auth_file_is_told(folder: Path) -> None:
    auth = folder / "auth"
    auth.touch(0o600)
    for text, message, hint in (
        ("", f"nor a line with this id in the auth file {auth}", "has no line for a cloud with an id"),
        ("id = other; type = EC2", f"nor a line with this id in the auth file {auth}", "has lines for: other"),
        ("id = aws; type = EC3", f"in the auth file {auth} is of type 'EC3', which is for no cloud", "ec2, egi"),
    ):
        auth.write_text(text)
        with opened(folder, auth_file=str(auth)) as ctx, pytest.raises(InvalidUsage) as caught:
            ctx.provider("aws")
        assert "there is no provider 'aws'" in caught.value.message
        assert message in caught.value.message
        assert hint in caught.value.hint


def test_a_lease_counts_from_when_it_is_asked_for_and_stays_until_it_is_changed(ctx: Context) -> None:
    began = ctx.clock.now()
    do(ctx, plan(ctx, lease_s=3600))
    ends = show(ctx, "burst").record.terms.expires_at
    assert ends is not None
    assert began + 3600 <= ends <= ctx.clock.now() + 3600
    do(ctx, plan(ctx, count=2))
    assert show(ctx, "burst").record.terms.expires_at == ends
    prepared = plan(ctx, count=2, lease_s=math.inf)
    assert (prepared.plan.is_empty, prepared.terms_changed) == (True, True)
    do(ctx, prepared)
    assert show(ctx, "burst").record.terms.expires_at is None


def test_a_plan_that_was_kept_brings_its_terms(ctx: Context, folder: Path) -> None:
    save_plan(ctx, plan(ctx, Budget(2.0, "USD"), lease_s=7200), folder / "kept.plan")
    prepared = prepare_from_plan(ctx, folder / "kept.plan")
    do(ctx, prepared)
    terms = show(ctx, "burst").record.terms
    assert terms.budget == Budget(2.0, "USD")
    assert terms.expires_at is not None
    assert terms.expires_at > ctx.clock.now() + 7000
    save_plan(ctx, plan(ctx, Budget(math.inf), lease_s=math.inf, count=4), folder / "more.plan")
    do(ctx, prepare_from_plan(ctx, folder / "more.plan"))
    assert show(ctx, "burst").record.terms == Terms()
    assert all(node.phase is Phase.CONFIGURED for node in show(ctx, "burst").nodes)
