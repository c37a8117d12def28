"""A small cluster, and what is known after a plan was carried out: the pure twin of `services.apply`."""

from dataclasses import replace

from im_client.plan.digest import OperationDigests, configured_digest
from im_client.plan.model import Action, Known, KnownNode, Limits, Phase, Plan, Spec
from im_client.topology.facts import Facts, NodeFacts
from im_client.topology.model import (
    Artifact,
    ArtifactKind,
    Group,
    Hardware,
    Image,
    Operation,
    OperationPhase,
    Topology,
)
from im_client.topology.resolve import Resolver
from im_client.topology.values import Attribute, Scope, Value

LIMITS = Limits("fake", in_place=frozenset({"num_cpus", "mem_bytes"}), in_place_stopped=frozenset({"disk_bytes"}))


def operation(
    component: str,
    group: str,
    name: str,
    phase: OperationPhase = OperationPhase.CONFIGURE,
    digest: str = "v1",
    **inputs: Value,
) -> Operation:
    playbook = Artifact(ArtifactKind.PLAYBOOK, f"/some/where/{component}.yml", digest=digest)
    return Operation(
        f"{component}.Standard.{name}", component, "Standard", name, group, phase, 0, playbook, inputs=inputs
    )


def cluster(
    workers: int = 2, memory: int | None = 2**30, image: str | None = "debian", playbook: str = "v1"
) -> Topology:
    """A front-end that lists its workers and sets a token, and workers that use it and their own address."""
    return Topology(
        name="cluster",
        groups={
            "wn": Group(
                "wn", workers, 0, None, hardware=Hardware(num_cpus=1, mem_bytes=memory), image=Image(url=image),
                needs=("front",),
            ),
            "front": Group("front", 1, 1, 1, hardware=Hardware(num_cpus=2), scalable=False),
        },
        components={"lrms": "front", "work": "wn"},
        operations=(
            operation("lrms", "front", "create"),
            operation("lrms", "front", "configure", workers=Attribute("wn", ("private_address",))),
            operation("work", "wn", "configure", digest=playbook,
                      front=Attribute("front", ("private_address", 0)),
                      me=Attribute("wn", ("private_address",), Scope.OWN)),
            operation("work", "wn", "start", token=Attribute("lrms", ("token",))),
            operation("work", "wn", "stop", OperationPhase.STOP),
            operation("work", "wn", "delete", OperationPhase.DELETE),
        ),
    )  # fmt: skip


def apply(plan: Plan, known: Known, topology: Topology) -> Known:
    """Return what is known once every step of a plan has succeeded."""
    nodes, facts = dict(known.nodes), dict(known.facts.nodes)
    for step in plan.steps:
        match step.action:
            case Action.DELETE:
                nodes.pop(step.node)
                facts.pop(step.node, None)
            case Action.CREATE | Action.REPLACE:
                nodes[step.node] = KnownNode(
                    step.node, step.group, step.index, Phase.RUNNING, step.spec or Spec(), "fake", f"id-{step.node}"
                )
                address = f"10.{known.revision + 1}.{len(step.group)}.{step.index}"
                facts[step.node] = NodeFacts(step.node, step.group, step.index, private_address=address)
            case Action.UPDATE | Action.START:
                node = nodes[step.node]
                phase = Phase.CONFIGURED if node.configured_digest else Phase.RUNNING
                nodes[step.node] = replace(node, phase=phase, spec=step.spec or node.spec)
    by_id = {o.id: o for o in topology.operations}
    for step in plan.steps:  # what playbooks set, new with every run
        if step.action is Action.CONFIGURE:
            outputs = {c: dict(ops) for c, ops in facts[step.node].outputs.items()}
            for ran in (by_id[i] for i in step.operations):
                outputs.setdefault(ran.component, {})[ran.operation] = {
                    "token" if ran.id == "lrms.Standard.configure" else "done": f"{ran.id}@{known.revision}"
                }
            facts[step.node] = replace(facts[step.node], outputs=outputs)
    after = Facts(facts, topology.components, topology.attributes)
    digests = OperationDigests(Resolver(after), after)
    for step in plan.steps:
        if step.action is Action.CONFIGURE:
            node = nodes[step.node]
            mine = {**node.operation_digests, **{i: digests.of(by_id[i], step.node).text for i in step.operations}}
            nodes[step.node] = replace(
                node,
                phase=Phase.CONFIGURED,
                operation_digests=mine,
                configured_digest=configured_digest(mine),
                failure="",
            )
    return Known(known.revision + 1, nodes, after)


def with_phase(known: Known, name: str, phase: Phase, **changes: object) -> Known:
    """Return the same, but for one machine."""
    node = replace(known.nodes[name], phase=phase, **changes)  # type: ignore[arg-type]
    return replace(known, nodes={**known.nodes, name: node})


def steps(plan: Plan) -> list[tuple[str, str]]:
    """Return the ids and reason codes of a plan's steps."""
    return [(step.id, step.reason.code.value) for step in plan.steps]
