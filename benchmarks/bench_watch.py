"""What following a cluster costs: CPU per pod event from the bytes of the watch to the cache, and memory.

An event goes the whole way but for the socket: lines, the watch's thread, the queue, decoding, the cache. Memory is
that of processes of their own, each filled by lists in parts, with the kubernetes client imported as the daemon has it.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.report import cpu_s, emit, figure, peak_memory_mib
from clues.kubeapi.api import Answer, Stream
from clues.options import Pool
from clues.sources.intake import Intake
from clues.sources.kubernetes import RESOURCES, KubernetesSource
from clues.sources.listwatch import Listed, Timing
from clues.sources.wire import Cluster
from infracore.clock import SystemClock
from infracore.errors import InvalidUsage

PODS = 2000
EVENTS = 8_000
NEW = 4_000
RUNS = 40
BURST = 16 * 64 * 1024
"""Bytes of the watch that come before the loop takes them in: 250 events, 5,000 a second with its window of 50 ms."""
PER_EVENT_US = 15.0
PENDING, BOUND, NODES = RESOURCES[:3]
SIZES = ((1_000, 10_000, 150.0), (10_000, 100_000, 1200.0))
CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
STAMP = "2026-01-01T00:00:%02dZ"


def container(name: str, app: int, token: str) -> dict[str, Any]:
    return {
        "name": name,
        "image": f"registry.example/team/app-{app}:1.2.3",
        "command": ["/bin/app", "--serve"],
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "env": [
            *({"name": f"VAR_{number}", "value": f"value-{number}"} for number in range(9)),
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
        ],
        "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": f"{100 + app}m", "memory": "256Mi"}},
        "volumeMounts": [
            {"name": "settings", "mountPath": "/etc/app"},
            {"name": token, "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
        ],
        "terminationMessagePath": "/dev/termination-log",
        "imagePullPolicy": "IfNotPresent",
    }


def pod(number: int, nodes: int, *, phase: str = "Running") -> bytes:
    """A pod of about 4 kB as the API server writes it; one in twenty has a claim of its own."""
    app, token = number % 200, f"kube-api-access-{number % 60_466_176:05x}"[:21]
    owner = f"app-{app}-7d5c9"
    volumes: list[dict[str, Any]] = [
        {"name": "settings", "configMap": {"name": "settings", "defaultMode": 420}},
        {
            "name": token,
            "projected": {
                "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                ],
                "defaultMode": 420,
            },
        },
    ]
    if number % 20 == 0:
        volumes.insert(0, {"name": "data", "persistentVolumeClaim": {"claimName": f"data-{number}"}})
    labels = {"app": f"app-{app}", "pod-template-hash": "7d5c9", "tier": "front"}
    managed: dict[str, Any] = {
        "f:metadata": {"f:labels": {f"f:{key}": {} for key in labels}},
        "f:spec": {"f:containers": {}},
    }
    managed["f:spec"]["f:containers"]['k:{"name":"app"}'] = {f"f:field{number}": {} for number in range(10)}
    item = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": f"{owner}-{number:05x}",
            "generateName": f"{owner}-",
            "namespace": f"team-{app % 20}",
            "uid": f"00000000-0000-4000-8000-{number:012x}",
            "resourceVersion": str(1000 + number),
            "creationTimestamp": STAMP % (number % 60),
            "labels": labels,
            "annotations": {"prometheus.io/scrape": "true"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": f"u-{app}", "controller": True}
            ],
            "managedFields": [{"manager": "kubelet", "operation": "Update", "fieldsV1": managed}],
        },
        "spec": {
            "volumes": volumes,
            "containers": [container("app", app, token), container("side", app, token)],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default",
            "nodeName": f"node-{number % nodes}",
            "schedulerName": "default-scheduler",
            "tolerations": [
                {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute"}
                for key in ("not-ready", "unreachable")
            ],
            "priority": 0,
            "preemptionPolicy": "PreemptLowerPriority",
        },
        "status": {
            "phase": phase,
            "conditions": [
                {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": STAMP % 0}
                for kind in CONDITIONS
            ],
            "hostIP": "192.0.2.1",
            "podIP": "192.0.2.2",
            "containerStatuses": [
                {
                    "name": name,
                    "image": "i",
                    "imageID": "i",
                    "ready": True,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": STAMP % 0}},
                }
                for name in ("app", "side")
            ],
        },
    }
    return json.dumps(item, separators=(",", ":")).encode()


def node(number: int) -> bytes:
    item = {
        "metadata": {"name": f"node-{number}", "uid": f"n-{number}", "labels": {"pool": "w", "n": str(number)}},
        "status": {
            "allocatable": {"cpu": "63770m", "memory": "247Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": STAMP % 0}],
        },
    }
    return json.dumps(item, separators=(",", ":")).encode()


class Replay:
    """Stands where the API client does: a list, then a watch of what was recorded, then silence."""

    def __init__(self, recorded: bytes, listed: Sequence[bytes] = ()) -> None:
        self._recorded = recorded
        self._list = b'{"metadata":{"resourceVersion":"1"},"items":[%b]}' % b",".join(listed)
        self.go, self.told, self.over = threading.Event(), threading.Event(), threading.Event()
        self.is_over = False

    def request(self, *_: Any, **__: Any) -> Answer:
        return Answer(200, self._list)

    @contextmanager
    def stream(self, _: str, query: Mapping[str, str], **__: Any) -> Iterator[Stream]:
        if "sendInitialEvents" in query:
            raise InvalidUsage("no streaming lists")
        yield Stream(SimpleNamespace(stream=self._chunks))

    def _chunks(self, size: int, **_: bool) -> Iterator[bytes]:
        for start in range(0, len(self._recorded), size):
            if start % BURST == 0:
                self.told.set()
                self.go.wait()
                self.go.clear()
            yield self._recorded[start : start + size]
        self.is_over = True
        self.told.set()
        self.over.wait()


def event_us(*, new: bool = False) -> float:
    """CPU microseconds of one event, the least of some runs; nearly every event changes the picture.

    The pods were listed before, and events change their status, as nearly all do; or each is of a pod that is `new`.
    """
    count = NEW if new else PODS
    running = [pod(number, 200) for number in range(count)]
    kinds = [(b"ADDED", running)] if new else [(b"MODIFIED", running), (b"MODIFIED", pending(count))]
    lines = [b'{"type":"%b","object":%b}\n' % (event, item) for event, items in kinds for item in items]
    events = NEW if new else EVENTS
    recorded = b"".join(lines[number % len(lines)] for number in range(events))
    least = float("inf")
    for _ in range(RUNS):
        replay = Replay(recorded, () if new else running)
        source = KubernetesSource(replay, SystemClock(), Timing(), resources=(BOUND,))  # type: ignore[arg-type]
        source.start(lambda: None)
        replay.told.wait()
        _ = source.version
        start = time.process_time()
        while not replay.is_over:
            replay.told.clear()
            replay.go.set()
            replay.told.wait()
            _ = source.version  # takes in what waits
        least = min(least, time.process_time() - start)
        known = source.snapshot(0.0, {})
        assert known.complete
        replay.over.set()
        source.stop()
    return least / events * 1e6


def pending(count: int) -> list[bytes]:
    return [pod(number, 200, phase="Pending") for number in range(count)]


def client_us() -> float:
    """The same objects by the official client, from text to its models."""
    from kubernetes import client

    api = client.ApiClient()
    texts = [pod(number, 200).decode() for number in range(50)]

    def decode() -> None:
        for text in texts:
            api.deserialize(text, "V1Pod", "application/json")

    return cpu_s(decode, repeat=3) / len(texts) * 1e6


def resident_mib() -> float:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def fill(nodes: int, pods: int) -> None:
    """Fill a cache by parts of 500 as lists come, make a picture, and print the memory of this process."""
    import clues.decide  # noqa: F401 (and with it numpy)
    import kubernetes  # noqa: F401 (the daemon has it)

    cluster = Cluster()
    intake = Intake(cluster, RESOURCES[:3])
    intake.take(PENDING, Listed(()), 0.0)
    intake.take(NODES, Listed(tuple(node(number) for number in range(nodes))), 0.0)
    before = resident_mib()
    for start in range(0, pods, 500):
        part = tuple(pod(number, nodes) for number in range(start, min(start + 500, pods)))
        intake.take(BOUND, Listed(part, start == 0, start + 500 >= pods), 0.0)
    picture = cluster.snapshot(0.0, (Pool("w"),), {})
    assert sum(len(state.pods) for state in picture.nodes.values()) == pods
    after = resident_mib()
    print(json.dumps({"before": before, "after": after, "peak": peak_memory_mib()}))


def main() -> int:
    if len(sys.argv) > 1:
        fill(int(sys.argv[1]), int(sys.argv[2]))
        return 0
    figures = [
        figure(
            "a pod event, to the cache", event_us(), "us", limit=PER_EVENT_US, peer=client_us(), peer_name="kubernetes"
        ),
        figure("an event of a pod that was not known", event_us(new=True), "us"),
        figure("bytes of a pod as it comes", len(pod(7, 200)), "B"),
    ]
    for nodes, pods, limit in SIZES:
        argv = [sys.executable, __file__, str(nodes), str(pods)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=True)
        said = json.loads(done.stdout)
        size = f"{nodes} nodes, {pods} pods"
        each = (said["after"] - said["before"]) * 1024 * 1024 / pods
        figures.append(figure(f"resident, {size}", said["after"], "MiB", limit=limit))
        figures.append(figure(f"resident at most, {size}", said["peak"], "MiB", limit=limit))
        figures.append(figure(f"bytes per pod, {size}", each, "B"))
    return emit("watch", figures)


if __name__ == "__main__":
    sys.exit(main())
