"""Which filter plugin refuses a pod on a node: lines of clusters in, verdicts out."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clues.offline.case import NOW
from clues.offline.format import FitCase, Scenario
from clues.offline.objects import objects_of
from clues.offline.picture import feed, picture
from clues.offline.reading import json_line, read_bytes
from clues.offline.scenario import to_fit_case
from clues.policy.simulation import Simulation
from clues.sources.wire import Cluster
from infracore.errors import InfraError, Misconfigured

__all__ = ["Fits", "fits_of", "read_fits"]


@dataclass(frozen=True, slots=True)
class Fits:
    """The verdicts on one line."""

    id: str
    verdict: dict[str, dict[str, str]]
    """New pod -> node -> the first plugin that refuses it, or "" where it fits."""
    details: dict[str, dict[str, str]]
    """The same, in words; only where it is refused."""
    expected: dict[str, dict[str, str]]
    """What the line itself says; {} where it says nothing."""

    @property
    def differences(self) -> tuple[tuple[str, str, str, str], ...]:
        """(pod, node, expected, found) wherever the line says otherwise."""
        return tuple(
            (pod, node, said, self.verdict.get(pod, {}).get(node, "(no such pod or node)"))
            for pod, nodes in self.expected.items()
            for node, said in nodes.items()
            if self.verdict.get(pod, {}).get(node) != said
        )


def read_fits(path: Path) -> Iterator[Fits | InfraError]:
    """Yield the verdicts line by line (gzip or plain; `-`: standard input); a wrong line is answered by its error.

    Raises:
        NotFound, Misconfigured: the file as a whole cannot be read, or holds no line.
    """
    content = read_bytes(path)
    if not content.strip():
        raise Misconfigured(f"{path} is empty", "it needs a cluster a line, as JSON")
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            yield fits_of(to_fit_case(json_line(line, where), where), where)
        except InfraError as error:
            yield error


def fits_of(case: FitCase, where: str = "") -> Fits:
    """Judge every pod without a node alone against every node. Raises Misconfigured."""
    where = where or case.id
    scenario = Scenario(id=case.id, nodes=case.nodes, pods=tuple(pod for pod in case.pods))
    cluster = Cluster()
    feed(cluster, objects_of(scenario, NOW, where))
    snapshot = picture(cluster, NOW, (), {})
    simulation = Simulation(snapshot)
    verdict: dict[str, dict[str, str]] = {}
    details: dict[str, dict[str, str]] = {}
    order = {node.name: number for number, node in enumerate(case.nodes)}
    for pod in snapshot.pending:
        kind = simulation.kind_of(pod)
        found: dict[str, str] = {}
        for name in sorted(simulation.index, key=lambda name: order.get(name, 0)):
            refusal = simulation.refusal(kind, simulation.index[name])
            found[name] = refusal.rule if refusal is not None else ""
            if refusal is not None:
                details.setdefault(pod.name, {})[name] = refusal.detail
        verdict[pod.name] = found
    return Fits(case.id, verdict, details, {pod: dict(nodes) for pod, nodes in case.verdict.items()})
