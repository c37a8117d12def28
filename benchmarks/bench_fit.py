"""What fits where: building the simulation, grouping the pods, and asking about every kind once.

`python benchmarks/bench_fit.py [--profile]`. The issue's figures are those of the whole decision (bench_decision.py);
this is the part of it that no way of packing can avoid.
"""

import cProfile
import io
import pstats
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.report import cpu_s, emit, figure
from clues.model import HOSTNAME, ZONE, Node, Operator, Pod, PodSpec, PodTerm, Requirement, Selector, Spread
from clues.policy.simulation import Simulation
from clues.snapshot import NodeState, Snapshot

GIB = 1 << 30


def cluster(nodes: int, pods: int, classes: int, *, rules: bool) -> Snapshot:
    """Return nodes with three pods each and pending pods in classes; with `rules`, a tenth has inter-pod rules."""
    system = [PodSpec(requests=(("cpu", 100 + i), ("memory", GIB // 8))) for i in range(3)]
    names = [{"app": f"system-{i}"} for i in range(3)]
    amounts = {"cpu": 16000, "memory": 64 * GIB, "pods": 110}
    states = {}
    for i in range(nodes):
        name = f"n{i}"
        known = Node(
            name=name,
            labels={HOSTNAME: name, ZONE: f"z{i % 3}", "disk": "ssd" if i % 4 else "hdd"},
            allocatable=amounts,
        )
        running = tuple(
            Pod("kube-system", f"{name}-{j}", f"{name}-{j}", system[j], names[j], node=name) for j in range(3)
        )
        states[name] = NodeState(known, running)
    pending = []
    for c in range(classes):
        marks = {"app": f"app-{c}"}
        own = Selector((Requirement("app", Operator.IN, (f"app-{c}",)),))
        anti: tuple[PodTerm, ...] = ()
        spread: tuple[Spread, ...] = ()
        if rules and c % 10 == 0:
            if c % 20:
                anti = (PodTerm(HOSTNAME, own, frozenset({"default"})),)
            else:
                spread = (Spread(ZONE, 1, own),)
        spec = PodSpec(
            requests=(("cpu", 100 + 10 * (c % 40)), ("memory", GIB // 4 + c * 1024)),
            node_selector=(("disk", "ssd"),) if c % 5 == 0 else (),
            anti_affinity=anti,
            spread=spread,
        )
        pending += [Pod("default", f"p{c}-{i}", f"u{c}-{i}", spec, marks) for i in range(pods // classes)]
    return Snapshot(now=1e9, nodes=states, pending=tuple(pending))


def work(picture: Snapshot) -> None:
    """Build, group, and ask for room for each kind; place one pod of each."""
    simulation = Simulation(picture)
    for kind in simulation.kinds(picture.pending):
        room = simulation.room(kind)
        simulation.place(kind, int(room.argmax()))


def main() -> int:
    small, large = cluster(1000, 10000, 200, rules=False), cluster(10000, 100000, 1000, rules=False)
    ruled = cluster(10000, 100000, 1000, rules=True)
    if "--profile" in sys.argv:
        profile = cProfile.Profile()
        profile.runcall(work, ruled)
        text = io.StringIO()
        pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(12)
        print(text.getvalue(), file=sys.stderr)
    simulation = Simulation(ruled)
    kinds = list(simulation.kinds(ruled.pending))
    return emit(
        "fit",
        [
            figure("1,000 nodes x 10,000 pods, 200 kinds", cpu_s(lambda: work(small)), "s", limit=0.1),
            figure("10,000 nodes x 100,000 pods, 1,000 kinds", cpu_s(lambda: work(large), repeat=3), "s", limit=1.0),
            figure(
                "the same, a tenth with anti-affinity or spread", cpu_s(lambda: work(ruled), repeat=3), "s", limit=2.0
            ),
            figure("of it: Simulation()", cpu_s(lambda: Simulation(ruled), repeat=3), "s"),
            figure("of it: kinds()", cpu_s(lambda: simulation.kinds(ruled.pending), repeat=3), "s"),
            figure("of it: room of 1,000 kinds", cpu_s(lambda: [simulation.room(k) for k in kinds], repeat=3), "s"),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
