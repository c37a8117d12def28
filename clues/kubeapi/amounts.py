"""What a pod asks for, as kube-scheduler 1.36 counts it, and quantities as integers (see `clues.model`)."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from clues.kubeapi import forms
from clues.model import Resources
from infracore.quantities import quantity_milli, quantity_units

__all__ = ["requests_of", "resources_of"]

_LONGEST_AMOUNT: Final = 40
_MOST_AMOUNT: Final = 2**63 - 1
_NO_AMOUNTS: Final[Resources] = {}


def resources_of(given: Mapping[str, Any] | None) -> Resources:
    """Return amounts by name. Raises ValueError for one that is none."""
    return {name: _amount(name, value) for name, value in (given or {}).items()}


def requests_of(spec: forms.PodSpecForm, status: forms.PodStatusForm | None = None) -> tuple[tuple[str, int], ...]:
    """Return the effective request: max(init phase, main phase with sidecars), or the pod's own, + overhead.

    Where the kubelet says what a pod has (a resize in place), the most of wanted, allocated and in force counts; a
    resize that the node can never grant counts for nothing. Raises ValueError for an amount that is none.

    Source: Kubernetes documentation, "Sidecar containers", resource sharing; KEP-2837 for pod-level resources; KEP-1287
    and KEP-5419 for resizes, as PodRequests of k8s.io/component-helpers v0.36 counts them for the scheduler.
    """
    said = _Said(status or forms.PodStatusForm())
    total: dict[str, int] = {}
    for container in spec.containers or ():
        _added(total, said.of(container))
    sidecars: dict[str, int] = {}
    init: dict[str, int] = {}
    for container in spec.init_containers or ():
        if container.restart_policy == "Always":
            _added(sidecars, said.of(container))
            needed = dict(sidecars)
        else:
            needed = dict(_asked(container))
            _added(needed, sidecars)
        _most(init, needed)
    _added(total, sidecars)
    _most(total, init)
    if spec.resources is not None:
        # the API server sets a missing request of the pod: to what its containers ask for, else to its limit
        asked = resources_of(spec.resources.requests)
        total = {**resources_of(spec.resources.limits), **total, **asked, **said.of_pod(asked)}
    _added(total, resources_of(spec.overhead))
    return tuple(sorted((name, amount) for name, amount in total.items() if amount))


class _Said:
    """What a pod's status says of amounts."""

    def __init__(self, status: forms.PodStatusForm) -> None:
        both = (*(status.container_statuses or ()), *(status.init_container_statuses or ()))
        self._containers = {found.name: found for found in both if found.resources is not None}
        self._status = status
        pending = [c for c in status.conditions or () if c.type == "PodResizePending"] if self._says_any() else []
        self._is_infeasible = bool(pending) and pending[0].reason == "Infeasible"

    def of(self, container: forms.ContainerForm) -> Resources:
        """Return what a container or sidecar counts for."""
        found, asked = self._containers.get(container.name), _asked(container)
        if found is None:
            return asked
        return self._effective(asked, found.resources, found.allocated_resources)

    def of_pod(self, asked: Resources) -> Resources:
        """Return what the pod's own resources count for, of those that it asks for itself."""
        status = self._status
        if status.resources is None:
            return _NO_AMOUNTS
        effective = self._effective(asked, status.resources, status.allocated_resources)
        return {name: effective.get(name, 0) for name in asked}

    def _effective(self, asked: Resources, actual: forms.ResourcesForm | None, allocated: forms.Amounts) -> Resources:
        most = {} if self._is_infeasible else dict(asked)
        _most(most, resources_of(actual.requests if actual is not None else None))
        _most(most, resources_of(allocated))
        return most

    def _says_any(self) -> bool:
        return bool(self._containers) or self._status.resources is not None


def _asked(container: forms.ContainerForm) -> Resources:
    resources = container.resources
    if resources is None:
        return _NO_AMOUNTS
    # the API server sets a missing request to the limit; an object from a file may not have passed it
    return resources_of({**(resources.limits or {}), **(resources.requests or {})})


def _added(to: dict[str, int], more: Resources) -> None:
    for name, amount in more.items():
        to[name] = to.get(name, 0) + amount


def _most(to: dict[str, int], other: Resources) -> None:
    for name, amount in other.items():
        to[name] = max(to.get(name, 0), amount)


@lru_cache(maxsize=65536)
def _amount(name: str, value: str | float) -> int:
    amount = quantity_milli(value) if name == "cpu" else quantity_units(value)
    if amount < 0:
        raise ValueError(f"{name}: {str(value)[:_LONGEST_AMOUNT]!r} is negative")
    if amount > _MOST_AMOUNT:  # a cpu in thousandths
        raise ValueError(f"{name}: {str(value)[:_LONGEST_AMOUNT]!r} is too large")
    return amount
