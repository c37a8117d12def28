"""How long one decision takes, from the picture to what is ordered, and how many nodes that are.

`python benchmarks/bench_decision.py [--profile | --spin SECONDS]`. All nodes but every tenth are full, so nearly every
pod needs a fresh node, and pods ask for ten times what those of bench_fit do; three pools can help. `--profile` prints
the ten functions that take most of each decision; `--spin` makes the largest one again and again, for a sampling
profiler.

Peers (../shared/facts/elasticity.md, measured on a machine of this kind): CLUES took 409 s for 1,000 nodes x 10,000
pods; cluster-autoscaler 1.05-2.9 s in 20 groups, 107 s with anti-affinity over host names, 83 s for pods without an
owner; Karpenter places 240-990 pods a second.
"""

import cProfile
import io
import pstats
import sys
import time
from functools import partial
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bench_fit import GIB, cluster
from benchmarks.report import Figure, cpu_s, emit, figure
from clues.decide import decide
from clues.decision import Decision, Memory
from clues.model import Node, Pod, PodSpec
from clues.options import Policy, Pool
from clues.snapshot import Machine, MachineState, NodeState, Snapshot

NOW = 1e9
POLICY = Policy()


def pools() -> list[Pool]:
    """Return three pools, in three zones, of which the largest machines cost least for what they hold."""
    return [
        Pool(
            f"pool-{size}",
            max=100_000,
            allocatable={"cpu": 16_000 * size, "memory": 64 * GIB * size, "pods": 110},
            labels={"disk": "ssd", "topology.kubernetes.io/zone": f"z{size - 1}"},
            price=1 + (size - 1) * 0.9,
        )
        for size in (1, 2, 3)
    ]


def picture(nodes: int, pods: int, classes: int, *, rules: bool) -> Snapshot:
    """Return the cluster of bench_fit with nine of ten nodes full and larger pods, all looked at by the scheduler."""
    made = cluster(nodes, pods, classes, rules=rules)
    full = PodSpec(requests=(("cpu", 15_000),))
    small = PodSpec(requests=(("cpu", 12_000),))
    states = {}
    for i, (name, state) in enumerate(made.nodes.items()):
        pod = Pod("default", f"{name}-r", f"{name}-r", full if i % 10 else small, {}, node=name)
        states[name] = NodeState(
            msgspec.structs.replace(state.node, ready_since=1.0), (*state.pods, pod), "pool-1", name
        )
    large: dict[PodSpec, PodSpec] = {}
    pending = []
    for pod in made.pending:
        if pod.spec not in large:
            requests = tuple((name, 10 * amount) for name, amount in pod.spec.requests)
            large[pod.spec] = msgspec.structs.replace(pod.spec, requests=requests)
        spec = large[pod.spec]
        pending.append(msgspec.structs.replace(pod, spec=spec, created_at=NOW - 60, unschedulable_since=NOW - 30))
    return Snapshot(now=NOW, nodes=states, pending=tuple(pending), namespaces={"default": {}, "kube-system": {}})


def next_picture(before: Snapshot, done: Decision) -> Snapshot:
    """Return the picture a second later: what was ordered boots."""
    machines = {
        order.pool: tuple(
            Machine(f"{order.pool}-{i}", order.pool, MachineState.BOOTING, NOW) for i in range(order.count)
        )
        for order in done.power_on
    }
    return msgspec.structs.replace(before, now=NOW + 1, machines=machines)


def hundred() -> int:
    """Return how many 16-CPU nodes are ordered for 100 pods of one CPU each."""
    spec = PodSpec(requests=(("cpu", 1000),))
    pending = tuple(
        Pod("default", f"p{i}", f"u{i}", spec, {}, created_at=1.0, unschedulable_since=2.0) for i in range(100)
    )
    pool = Pool("worker", max=1000, allocatable={"cpu": 16_000, "memory": 64 * GIB, "pods": 110})
    head = Node("head", {}, {"cpu": 0, "pods": 110}, ready_since=1.0)
    known = Snapshot(now=NOW, nodes={"head": NodeState(head)}, pending=pending, namespaces={"default": {}})
    return sum(order.count for order in decide(known, [pool], POLICY, Memory()).power_on)


def profiled(known: Snapshot) -> str:
    """Return the ten functions that take most of a decision."""
    profile = cProfile.Profile()
    profile.runcall(decide, known, pools(), POLICY, Memory())
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(10)
    return text.getvalue()


def spin(seconds: float) -> int:
    """Make the decision of 10,000 nodes and 100,000 pods with rules until the time is over; say when it begins."""
    known = picture(10_000, 100_000, 1000, rules=True)
    decide(known, pools(), POLICY, Memory())
    print("spinning", file=sys.stderr, flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        decide(known, pools(), POLICY, Memory())
    return 0


def main() -> int:
    if "--spin" in sys.argv:
        return spin(float(sys.argv[sys.argv.index("--spin") + 1]))
    figures: list[Figure] = []
    sizes = [
        ("1,000 nodes x 10,000 pods, 200 kinds", (1000, 10_000, 200), False, 0.1, 409.0, "CLUES"),
        ("10,000 nodes x 100,000 pods, 1,000 kinds", (10_000, 100_000, 1000), False, 1.0, None, ""),
        ("the same, a tenth with anti-affinity or spread", (10_000, 100_000, 1000), True, 2.0, None, ""),
    ]
    for what, (nodes, pods, classes), rules, limit, peer, peer_name in sizes:
        known = picture(nodes, pods, classes, rules=rules)
        seconds = cpu_s(partial(decide, known, pools(), POLICY, Memory()), repeat=3)
        figures.append(figure(what, seconds, "s", limit=limit, peer=peer, peer_name=peer_name))
        done = decide(known, pools(), POLICY, Memory())
        coming = next_picture(known, done)
        seconds = cpu_s(partial(decide, coming, pools(), POLICY, done.memory), repeat=3)
        figures.append(figure("  a second later, all nodes ordered and booting", seconds, "s", limit=limit))
        if "--profile" in sys.argv:
            print(profiled(known), file=sys.stderr)
    figures.append(figure("100 pods of 1 CPU on 16-CPU nodes", hundred(), "nodes", limit=7, peer=13, peer_name="CLUES"))
    return emit("decision", figures)


if __name__ == "__main__":
    sys.exit(main())
