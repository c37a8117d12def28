"""What each situation leads to."""

from dataclasses import replace

import pytest

from im_client.plan.build import build
from im_client.plan.model import Action, Known, Phase, Plan, Spec, SpecInterface, Step
from im_client.topology.model import Group, Hardware, Network, NetworkInterface, Topology
from im_client.topology.scale import scale
from im_client.topology.values import OperationOutput
from infracore.errors import InvalidUsage, Several, Unsupported
from tests.im_client.plan.world import LIMITS, apply, cluster, operation, steps, with_phase

HOOKS = ("work.Standard.stop", "work.Standard.delete")
WORK = ("work.Standard.configure", "work.Standard.start")


def plan_of(topology: Topology, known: Known, **more: object) -> Plan:
    return build("inf", topology, known, LIMITS, **more)  # type: ignore[arg-type]


def deployed(workers: int = 2) -> Known:
    topology = cluster(workers)
    return apply(plan_of(topology, Known()), Known(), topology)


def step(plan: Plan, step_id: str) -> Step:
    return next(s for s in plan.steps if s.id == step_id)


def test_a_first_deployment_makes_and_then_configures_everything() -> None:
    plan = plan_of(cluster(), Known())
    assert steps(plan) == [
        ("create:front-1", "new"),
        ("create:wn-1", "new"),
        ("create:wn-2", "new"),
        ("configure:front-1", "never-configured"),
        ("configure:wn-1", "never-configured"),
        ("configure:wn-2", "never-configured"),
    ]
    assert step(plan, "create:wn-2").needs == ("create:front-1",)
    assert step(plan, "configure:front-1").needs == ("create:front-1", "create:wn-1", "create:wn-2")
    assert step(plan, "configure:wn-1").operations == WORK


def test_after_a_deployment_there_is_nothing_to_do() -> None:
    plan = plan_of(cluster(), deployed())
    assert plan.is_empty
    assert plan.unchanged == ("front-1", "wn-1", "wn-2")


def test_scaling_out_makes_the_new_worker_and_tells_who_lists_the_workers() -> None:
    topology = cluster()
    topology = replace(topology, operations=tuple(o for o in topology.operations if o.operation != "start"))
    known = apply(plan_of(topology, Known()), Known(), topology)
    plan = plan_of(scale(topology, {"wn": 3}), known)
    assert steps(plan) == [
        ("create:wn-3", "scale-out"),
        ("configure:front-1", "depends-on-change"),
        ("configure:wn-3", "never-configured"),
    ]
    assert step(plan, "configure:front-1").operations == ("lrms.Standard.configure",)
    assert plan.unchanged == ("wn-1", "wn-2")


def test_scaling_out_touches_only_the_new_worker_when_nobody_lists_the_workers() -> None:
    topology = cluster()
    topology = replace(topology, operations=tuple(o for o in topology.operations if o.id != "lrms.Standard.configure"))
    known = apply(plan_of(topology, Known()), Known(), topology)
    plan = plan_of(scale(topology, {"wn": 3}), known)
    assert steps(plan) == [("create:wn-3", "scale-out"), ("configure:wn-3", "never-configured")]


def test_who_reads_an_output_of_an_operation_that_runs_again_runs_again_too() -> None:
    plan = plan_of(cluster(3), deployed())  # the front-end lists the workers, and sets the token that they use
    assert step(plan, "configure:wn-1").operations == ("work.Standard.start",)
    assert "token of lrms" in step(plan, "configure:wn-1").reason.text


def test_scaling_in_runs_the_hooks_of_the_newest_and_deletes_it_before_all_else() -> None:
    plan = plan_of(cluster(1), deployed(3))
    assert steps(plan)[:3] == [
        ("delete:wn-3", "scale-in"),
        ("delete:wn-2", "scale-in"),
        ("configure:front-1", "depends-on-change"),
    ]
    assert step(plan, "delete:wn-3").operations == HOOKS
    assert step(plan, "configure:front-1").needs == ("delete:wn-3", "delete:wn-2")


def test_the_named_machine_goes_whatever_the_count_is() -> None:
    known = deployed(3)
    assert steps(plan_of(cluster(2), known, remove=frozenset({"wn-1"})))[0] == ("delete:wn-1", "scale-in")
    both = plan_of(cluster(3), known, remove=frozenset({"wn-1"}))
    assert [s.id for s in both.steps][:2] == ["delete:wn-1", "create:wn-4"]


def test_the_removal_list_of_the_template_wins_over_age_and_health() -> None:
    topology = cluster(2)
    topology = replace(
        topology, groups={**topology.groups, "wn": replace(topology.groups["wn"], removal_list=("wn-1",))}
    )
    known = with_phase(deployed(3), "wn-2", Phase.GONE)
    assert [s.id for s in plan_of(topology, known).steps][:2] == ["delete:wn-1", "create:wn-2"]


def test_a_gone_machine_goes_before_a_healthy_newer_one_and_without_hooks() -> None:
    plan = plan_of(cluster(2), with_phase(deployed(3), "wn-1", Phase.GONE))
    assert steps(plan)[0] == ("delete:wn-1", "scale-in")
    assert step(plan, "delete:wn-1").operations == ()


@pytest.mark.parametrize(
    ("phase", "changes", "expected", "runs"),
    [
        (Phase.GONE, {}, ("create:wn-1", "gone-at-provider"), True),
        (Phase.FAILED, {"failure": "no disk"}, ("replace:wn-1", "failed"), True),
        (Phase.FAILED, {"provider_id": None}, ("create:wn-1", "failed"), True),
        (Phase.CREATING, {"provider_id": None}, ("create:wn-1", "interrupted"), True),
        (Phase.DELETING, {}, ("replace:wn-1", "interrupted"), True),
        (Phase.STOPPED, {}, ("start:wn-1", "stopped"), False),
        (Phase.PENDING, {}, ("start:wn-1", "interrupted"), False),
    ],
)
def test_each_phase_has_its_remedy(
    phase: Phase, changes: dict[str, object], expected: tuple[str, str], runs: bool
) -> None:
    plan = plan_of(cluster(), with_phase(deployed(), "wn-1", phase, **changes))
    assert steps(plan)[0] == expected
    assert ("configure:wn-1" in [s.id for s in plan.steps]) == runs


def test_a_machine_that_was_being_deleted_and_is_too_many_is_deleted_again_without_hooks() -> None:
    plan = plan_of(cluster(1), with_phase(deployed(2), "wn-1", Phase.DELETING))
    assert steps(plan)[0] == ("delete:wn-1", "interrupted")
    assert step(plan, "delete:wn-1").operations == ()
    assert "delete:wn-2" not in [s.id for s in plan.steps]


def test_a_machine_begun_with_another_spec_is_made_anew() -> None:
    plan = plan_of(cluster(), with_phase(deployed(), "wn-1", Phase.CREATING, spec=Spec(num_cpus=8)))
    assert steps(plan)[0] == ("replace:wn-1", "property-changed")


def test_a_machine_that_the_provider_could_not_be_asked_about_is_left_alone() -> None:
    plan = plan_of(cluster(), with_phase(deployed(), "wn-1", Phase.UNKNOWN))
    assert plan.is_empty
    assert plan.warnings == ("the provider could not be asked about wn-1: it is left alone",)


def test_more_memory_is_changed_in_place() -> None:
    plan = plan_of(cluster(memory=2**31), deployed())
    assert steps(plan) == [("update:wn-1", "property-changed"), ("update:wn-2", "property-changed")]
    (change,) = plan.steps[0].changes
    assert (change.property, change.before, change.after, change.forces_replace) == (
        "mem_bytes",
        "1 GiB",
        "2 GiB",
        False,
    )


def test_another_image_replaces_and_names_what_forces_it() -> None:
    plan = plan_of(cluster(memory=2**31, image="ubuntu"), deployed())
    assert steps(plan)[0] == ("replace:wn-1", "property-changed")
    first = plan.steps[0]
    assert {c.property: c.forces_replace for c in first.changes} == {"mem_bytes": False, "image": True}
    assert first.operations == HOOKS
    assert "image" in first.reason.text
    assert step(plan, "configure:wn-1").operations == WORK


def test_what_the_template_no_longer_cares_about_is_no_change() -> None:
    assert plan_of(cluster(memory=None, image=None), deployed()).is_empty


def test_a_disk_that_changes_only_while_stopped_says_that_the_machine_restarts() -> None:
    def of(disk: int) -> Topology:
        hardware = Hardware(disk_bytes=disk)
        return Topology("t", groups={"wn": Group("wn", 1, 1, 1, hardware=hardware)})

    known = apply(plan_of(of(1), Known()), Known(), of(1))
    (changed,) = plan_of(of(2), known).steps
    assert (changed.action, "restarts" in changed.reason.text) == (Action.UPDATE, True)
    limits = replace(LIMITS, can_stop=False)
    assert [s.action for s in build("inf", of(2), known, limits).steps] == [Action.REPLACE]


def test_a_changed_playbook_runs_again_where_it_ran_and_nothing_else() -> None:
    plan = plan_of(cluster(playbook="v2"), deployed())
    assert steps(plan) == [("configure:wn-1", "operation-changed"), ("configure:wn-2", "operation-changed")]
    assert plan.steps[0].operations == ("work.Standard.configure",)


def test_an_operation_that_failed_goes_on_where_it_stopped() -> None:
    known = deployed()
    done = {"work.Standard.configure": known.nodes["wn-1"].operation_digests["work.Standard.configure"]}
    known = with_phase(
        known, "wn-1", Phase.UNCONFIGURED, configured_digest=None, operation_digests=done, failure="task x\nmore"
    )
    plan = plan_of(cluster(), known)
    assert steps(plan) == [("configure:wn-1", "failed")]
    assert plan.steps[0].operations == ("work.Standard.start",)
    assert plan.steps[0].reason.text == "its last configuration did not end: task x"


def test_reconfiguring_runs_all_operations_of_the_named_machine() -> None:
    plan = plan_of(cluster(), deployed(), reconfigure=frozenset({"wn-2"}))
    assert steps(plan) == [("configure:wn-2", "asked")]
    assert plan.steps[0].operations == WORK


def test_a_group_that_the_template_lost_is_deleted() -> None:
    topology = cluster()
    without = replace(topology, groups={"front": topology.groups["front"]}, operations=topology.operations[:1])
    assert steps(plan_of(without, deployed())) == [
        ("delete:wn-2", "removed-from-template"),
        ("delete:wn-1", "removed-from-template"),
    ]


def test_destroying_takes_the_workers_with_their_hooks_before_the_front_end() -> None:
    topology = cluster()
    for needs in (("front",), ()):  # also where no need says so
        groups = {**topology.groups, "wn": replace(topology.groups["wn"], needs=needs)}
        plan = plan_of(replace(topology, groups=groups), deployed(), destroy=True)
        assert steps(plan) == [("delete:wn-2", "destroy"), ("delete:wn-1", "destroy"), ("delete:front-1", "destroy")]
        assert plan.steps[0].operations == HOOKS
        assert plan.steps[2].needs == ("delete:wn-2", "delete:wn-1")


def test_machines_that_nothing_can_log_in_to_are_not_configured_and_run_no_hooks() -> None:
    limits = replace(LIMITS, reachable=False)
    assert {s.action for s in build("inf", cluster(), Known(), limits).steps} == {Action.CREATE}
    plan = build("inf", cluster(), deployed(), limits, destroy=True)
    assert all(not s.operations for s in plan.steps)


def test_an_output_that_no_playbook_ever_set_does_not_make_the_plan_restless() -> None:
    topology = cluster()
    odd = operation("work", "wn", "odd", x=OperationOutput("lrms", "Standard", "create", "never_set"))
    topology = replace(topology, operations=(*topology.operations, odd))
    known = apply(plan_of(topology, Known()), Known(), topology)
    assert plan_of(topology, known).is_empty
    assert "configure:wn-1" in [s.id for s in plan_of(topology, known, reconfigure=frozenset({"front-1"})).steps]


def test_names_in_the_dns_and_what_the_network_leaves_open_are_no_change_of_the_machine() -> None:
    def of(card: NetworkInterface, **network: str) -> Topology:
        return Topology(
            "t",
            groups={"wn": Group("wn", 1, 1, 1, interfaces=(card,))},
            networks={"net": Network("net", **network)},  # type: ignore[arg-type]
        )

    first = of(NetworkInterface("net", fixed_address="10.0.0.9", dns_names=("a#N#",)), cidr="10.0.0.0/24")
    known = with_phase(apply(plan_of(first, Known()), Known(), first), "wn-1", Phase.CONFIGURED)
    assert known.nodes["wn-1"].spec.interfaces == (
        SpecInterface("net", cidr="10.0.0.0/24", fixed_address="10.0.0.9", dns_names=("a1",)),
    )
    assert plan_of(of(NetworkInterface("net", dns_names=("b#N#",))), known).is_empty
    moved = of(NetworkInterface("net", fixed_address="10.0.0.10"), cidr="10.0.0.0/24")
    assert [s.action for s in plan_of(moved, known).steps] == [Action.REPLACE]


def test_what_the_provider_cannot_honour_is_refused_all_at_once() -> None:
    limits = replace(LIMITS, unsupported=frozenset({"image", "mem_bytes", "num_gpus"}))
    with pytest.raises(Several) as raised:
        build("inf", cluster(), Known(), limits)
    assert [type(e) for e in raised.value.errors] == [Unsupported, Unsupported]
    with pytest.raises(Unsupported, match="wn asks for image debian, which fake cannot give"):
        build("inf", cluster(memory=None), Known(), limits)
    assert build("inf", cluster(), deployed(), limits, destroy=True).steps


def test_a_name_that_is_no_machine_and_another_provider_are_refused() -> None:
    with pytest.raises(InvalidUsage, match="there is no machine 'wn-9'"):
        plan_of(cluster(), deployed(), remove=frozenset({"wn-9"}))
    with pytest.raises(InvalidUsage, match="cannot be planned for local"):
        build("inf", cluster(), deployed(), replace(LIMITS, provider="local"))


def test_a_machine_without_operations_is_not_configured_but_seen_to_its_end_after_an_interruption() -> None:
    topology = replace(cluster(), operations=())
    plan = plan_of(topology, Known())
    assert {s.action for s in plan.steps} == {Action.CREATE}
    known = apply(plan, Known(), topology)  # every machine is recorded as running, none as finished
    assert [s.id for s in plan_of(topology, known).steps] == ["configure:front-1", "configure:wn-1", "configure:wn-2"]
    assert plan_of(topology, with_phase(known, "wn-1", Phase.CONFIGURED)).unchanged == ("wn-1",)
