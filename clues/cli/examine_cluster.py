"""What `clues doctor` asks the API server: is it there, do the clocks agree, and may cluesd do what it has to.

The rights are those of kubernetes/rbac.yaml (a test compares them); each is asked for by a SelfSubjectAccessReview.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

from clues.cli.examine import Finding, Severity
from clues.settings import Settings
from clues.sources.kubernetes import POD_GROUPS
from infracore.errors import InfraError
from infracore.units import format_duration

__all__ = ["Answer", "Ask", "Right", "examine_cluster", "rights"]

_REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_SKEW_S: Final = 5.0
"""A difference of the clocks beyond this is said: leases last 15 s."""
_READ: Final = ("get", "list", "watch")


@dataclass(frozen=True, slots=True)
class Answer:
    """Of the API server: the body decoded from JSON, and its Date header ("" for none)."""

    body: Mapping[str, Any]
    date: str = ""


Ask = Callable[[str, str, Mapping[str, Any] | None], Answer]
"""Sends (method, path, body); raises InfraError for every status that is no success."""


@dataclass(frozen=True, slots=True)
class Right:
    """One thing that cluesd must be allowed to do."""

    group: str
    resource: str
    verb: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    what_for: str = ""

    def __str__(self) -> str:
        what = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        what += f".{self.group}" if self.group else ""
        where = f" {self.name}" if self.name else ""
        return f"{self.verb} {what}{where}" + (f" in {self.namespace}" if self.namespace else "")


def rights(settings: Settings) -> Iterator[Right]:
    """Yield what these settings need."""
    watched = (
        ("", ("pods", "namespaces", "persistentvolumeclaims", "persistentvolumes", "nodes", "replicationcontrollers")),
        ("apps", ("daemonsets", "replicasets", "statefulsets")),
        ("batch", ("jobs",)),
        ("policy", ("poddisruptionbudgets",)),
        ("storage.k8s.io", ("storageclasses", "csinodes")),
    )
    groups = tuple((POD_GROUPS[whose].path.split("/")[2], ("podgroups",)) for whose in settings.kubernetes.pod_groups)
    for group, resources in (*watched, *groups):
        for resource in resources:
            for verb in _READ:
                yield Right(group, resource, verb, what_for="to see the cluster")
    if settings.daemon.dry_run:
        return
    for verb in ("patch", "update", "delete"):
        yield Right("", "nodes", verb, what_for="to cordon nodes and to take them out")
    yield Right("", "pods", "create", "eviction", what_for="to drain nodes")
    yield Right("", "pods", "delete", what_for="for `clues poweroff --force`")
    if settings.daemon.events:
        for group in ("", "events.k8s.io"):
            for verb in ("create", "patch"):
                yield Right(group, "events", verb, what_for="to write events")
    namespace, slash, name = settings.daemon.status_config_map.partition("/")
    if slash:
        yield from _own("", "configmaps", namespace, name, "to write its status")
    if settings.lease.enabled:
        yield from _own(
            "coordination.k8s.io", "leases", settings.lease.namespace, settings.lease.name, "to be the one that acts"
        )


def _own(group: str, resource: str, namespace: str, name: str, what_for: str) -> Iterator[Right]:
    for verb in ("get", "patch", "update"):
        yield Right(group, resource, verb, "", namespace, name, what_for)
    yield Right(group, resource, "create", "", namespace, "", what_for)


def examine_cluster(settings: Settings, ask: Ask, now: Callable[[], float] = time.time) -> list[Finding]:
    """Return what is found; where the server does not answer, that is the only finding."""
    try:
        answer = ask("GET", "/version", None)
    except InfraError as error:
        remedy = error.hint or "kubernetes.kubeconfig: is it the right file, and the server up?"
        return [Finding("cluster", "server", Severity.ERROR, error.message, remedy)]
    version = str(answer.body.get("gitVersion", "of an unknown version"))
    found = [Finding("cluster", "server", Severity.OK, f"it answers, {version}"), *_clock(answer, now())]
    missing: list[Right] = []
    wanted = list(dict.fromkeys(rights(settings)))
    for right in wanted:
        try:
            if not _is_allowed(right, ask):
                missing.append(right)
        except InfraError as error:
            text = f"the rights cannot be asked for: {error.message}"
            return [*found, Finding("cluster", "rights", Severity.WARNING, text, error.hint)]
    if not missing:
        found.append(Finding("cluster", "rights", Severity.OK, f"all {len(wanted)} that these settings need"))
    for what_for in dict.fromkeys(right.what_for for right in missing):
        lacks = ", ".join(str(right) for right in missing if right.what_for == what_for)
        remedy = "kubectl apply -f kubernetes/rbac.yaml, and let cluesd use its service account"
        found.append(Finding("cluster", "rights", Severity.ERROR, f"may not, {what_for}: {lacks}", remedy))
    return found


def _is_allowed(right: Right, ask: Ask) -> bool:
    attributes = {
        "group": right.group,
        "resource": right.resource,
        "subresource": right.subresource,
        "verb": right.verb,
        "namespace": right.namespace,
        "name": right.name,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
    }
    status = ask("POST", _REVIEWS, review).body.get("status")
    return isinstance(status, Mapping) and status.get("allowed") is True


def _clock(answer: Answer, now: float) -> list[Finding]:
    try:
        skew = now - parsedate_to_datetime(answer.date).timestamp()
    except (TypeError, ValueError):
        return []
    # the header has whole seconds, cut off
    if -_SKEW_S <= skew - 0.5 <= _SKEW_S:
        return [Finding("cluster", "clock", Severity.OK, "this computer and the API server agree on the time")]
    ahead = "ahead of" if skew > 0 else "behind"
    text = f"this computer is {format_duration(abs(skew))} {ahead} the API server"
    return [Finding("cluster", "clock", Severity.ERROR, text, "a time service (chrony) on both: leases depend on it")]
