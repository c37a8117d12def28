"""How much of a node is asked for."""

from collections.abc import Mapping
from typing import Final

from clues.model import Pod, Resources
from clues.options import Policy
from clues.snapshot import NodeState

__all__ = ["gpu_names", "utilizations"]

_FULL: Final = float("inf")


def gpu_names(allocatable: Resources) -> list[str]:
    """Return the node's GPU resources (`nvidia.com/gpu` and its like) of which it has any."""
    return [name for name, amount in allocatable.items() if amount > 0 and name.endswith("/gpu")]


def utilizations(nodes: Mapping[str, NodeState], policy: Policy) -> dict[str, float]:
    """Return per node the larger of the cpu and memory shares that its pods ask for; with GPUs, their share alone.

    Expendable pods do not count. Where the policy leaves DaemonSets out, the share is that of what they leave for other
    pods, as in cluster-autoscaler. 100,000 pods are one cheap loop: what a spec asks for is looked up once a spec.
    """
    asked: dict[int, tuple[int, int]] = {}
    below, daemons = policy.expendable_below, policy.count_daemonsets
    shares: dict[str, float] = {}
    for name, state in nodes.items():
        allocatable = state.node.allocatable
        gpus = gpu_names(allocatable)
        if gpus:
            shares[name] = _gpu_share(state.pods, allocatable, gpus, policy)
            continue
        cpu = memory = 0
        cpu_left, memory_left = allocatable.get("cpu", 0), allocatable.get("memory", 0)
        for pod in state.pods:
            spec = pod.spec
            if not daemons and pod.is_daemon:
                requests = dict(spec.requests)
                cpu_left -= requests.get("cpu", 0)
                memory_left -= requests.get("memory", 0)
                continue
            if spec.priority < below:
                continue
            found = asked.get(id(spec))
            if found is None:
                requests = dict(spec.requests)
                found = asked[id(spec)] = (requests.get("cpu", 0), requests.get("memory", 0))
            cpu += found[0]
            memory += found[1]
        shares[name] = max(_share(cpu, cpu_left), _share(memory, memory_left))
    return shares


def _gpu_share(pods: tuple[Pod, ...], allocatable: Resources, gpus: list[str], policy: Policy) -> float:
    asked = dict.fromkeys(gpus, 0)
    for pod in pods:
        if pod.spec.priority < policy.expendable_below or (pod.is_daemon and not policy.count_daemonsets):
            continue
        for name, amount in pod.spec.requests:
            if name in asked:
                asked[name] += amount
    return max(_share(amount, allocatable.get(name, 0)) for name, amount in asked.items())


def _share(asked: int, has: int) -> float:
    return asked / has if has > 0 else (_FULL if asked > 0 else 0.0)
