"""What doctor asks the API server, and that the manifests grant what it asks for."""

from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from clues.cli.examine import Severity
from clues.cli.examine_cluster import Answer, examine_cluster, rights
from clues.settings import KubernetesOptions, PodGroups, Settings
from infracore.errors import InfraError, TimedOut, Unauthorised

NOW = 1_800_000_000.25
ALL = Settings(
    lease=msgspec.structs.replace(Settings().lease, enabled=True),
    kubernetes=KubernetesOptions(pod_groups=tuple(PodGroups)),
)
RBAC = Path(__file__).resolve().parents[3] / "kubernetes" / "rbac.yaml"


class Server:
    """Answers as an API server that refuses some things."""

    def __init__(self, *refused: tuple[str, str], date: float = NOW, error: InfraError | None = None) -> None:
        self.refused = set(refused)
        self.date = formatdate(int(date), usegmt=True)
        self.error = error
        self.reviews: list[dict[str, str]] = []

    def __call__(self, method: str, path: str, body: Mapping[str, Any] | None) -> Answer:
        if path == "/version":
            assert method == "GET"
            return Answer({"gitVersion": "v1.36.2"}, self.date)
        if self.error is not None:
            raise self.error
        assert (method, path) == ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        assert body is not None
        attributes = body["spec"]["resourceAttributes"]
        self.reviews.append(attributes)
        return Answer({"status": {"allowed": (attributes["verb"], attributes["resource"]) not in self.refused}})


def test_a_server_that_allows_everything_is_well() -> None:
    server = Server()
    found = examine_cluster(ALL, server, lambda: NOW)
    assert [(f.check, f.severity) for f in found] == [
        ("server", Severity.OK), ("clock", Severity.OK), ("rights", Severity.OK),
    ]  # fmt: skip
    assert {"resource": "pods", "subresource": "eviction", "verb": "create"} in server.reviews
    assert {
        "group": "coordination.k8s.io", "resource": "leases", "verb": "update", "namespace": "kube-system",
        "name": "cluesd",
    } in server.reviews  # fmt: skip


def test_pod_groups_are_asked_for_where_they_are_watched_only() -> None:
    plain = {right.resource for right in rights(msgspec.structs.replace(ALL, kubernetes=KubernetesOptions()))}
    one = KubernetesOptions(pod_groups=(PodGroups.VOLCANO,))
    more = {str(right) for right in rights(msgspec.structs.replace(ALL, kubernetes=one))}
    assert "podgroups" not in plain
    assert "watch podgroups.scheduling.volcano.sh" in more
    assert "watch podgroups.scheduling.x-k8s.io" not in more


def test_what_is_not_allowed_is_named_with_what_it_is_for() -> None:
    found = examine_cluster(ALL, Server(("patch", "nodes"), ("watch", "jobs")), lambda: NOW)
    texts = [f.text for f in found if f.severity is Severity.ERROR]
    assert texts == [
        "may not, to see the cluster: watch jobs.batch",
        "may not, to cordon nodes and to take them out: patch nodes",
    ]


def test_a_dry_run_needs_to_read_only() -> None:
    settings = msgspec.structs.replace(ALL, daemon=msgspec.structs.replace(ALL.daemon, dry_run=True))
    assert {right.verb for right in rights(settings)} == {"get", "list", "watch"}


@pytest.mark.parametrize(("skew", "said"), [(60, "1 m 00 s ahead of"), (-3600, "1 h 00 m behind"), (4, "agree")])
def test_clocks_that_differ_are_found(skew: float, said: str) -> None:
    found = {f.check: f for f in examine_cluster(ALL, Server(date=NOW - skew), lambda: NOW)}
    assert said in found["clock"].text


def test_a_server_that_does_not_answer_is_the_only_finding() -> None:
    def ask(*_words: object) -> Answer:
        raise TimedOut("nothing answers on https://10.0.0.1:6443")

    (found,) = examine_cluster(ALL, ask)
    assert found.severity is Severity.ERROR
    assert "kubernetes.kubeconfig" in found.remedy


def test_rights_that_cannot_be_asked_for_are_a_warning() -> None:
    found = examine_cluster(ALL, Server(error=Unauthorised("403")), lambda: NOW)
    assert found[-1].severity is Severity.WARNING


@pytest.mark.parametrize("body", [{}, {"status": None}, {"status": {"allowed": "yes"}}, {"status": []}])
def test_an_answer_that_is_none_allows_nothing(body: dict[str, Any]) -> None:
    found = examine_cluster(ALL, lambda _m, path, _b: Answer(body, "nonsense"), lambda: NOW)
    assert any(f.check == "rights" and f.severity is Severity.ERROR for f in found)


def test_the_manifest_grants_exactly_what_is_asked_for() -> None:
    granted = set()
    for document in yaml.safe_load_all(RBAC.read_text()):
        if not document or document["kind"] not in {"ClusterRole", "Role"}:
            continue
        namespace = document["metadata"].get("namespace", "") if document["kind"] == "Role" else ""
        for rule in document["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for verb in rule["verbs"]:
                        for name in rule.get("resourceNames", [""]):
                            plain, _, sub = resource.partition("/")
                            granted.add((group, plain, sub, verb, namespace, name))
    asked = {(r.group, r.resource, r.subresource, r.verb, r.namespace, r.name) for r in rights(ALL)}
    assert asked == granted
