"""A machine that is nothing but a kubelet's word: registers a node, keeps it Ready, runs what is bound to it.

As a program it is what the power driver `command` turns on and off in the closed-loop tests:

    python -m tests.controlplane.heartbeat on NAME --folder DIR --kubeconfig FILE [--cpu 4] [--memory 8Gi] [--label K=V]
    python -m tests.controlplane.heartbeat off NAME --folder DIR [--kubeconfig FILE]
    python -m tests.controlplane.heartbeat status NAME --folder DIR

`on` starts a process in the background and returns; `status` prints `on` or `off`; `off` with a kubeconfig notes in
DIR/left, before it ends the process, which pods the node had then. A pod of a Job (or with the
annotation `test/run-seconds`) succeeds after its time; a pod that is being deleted goes away at once.
"""

import argparse
import contextlib
import datetime
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64decode
from pathlib import Path
from typing import Any

import yaml

_EVERY_S = 0.25
_LEASE_S = 5.0
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _seconds() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Server:
    """Requests to the API server of a kubeconfig with certificates inside."""

    def __init__(self, kubeconfig: Path, scratch: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._url = cluster["server"]
        self._ssl = ssl.create_default_context(cadata=b64decode(cluster["certificate-authority-data"]).decode())
        pem = scratch / f"client-{os.getpid()}.pem"
        pem.touch(0o600)
        pem.write_bytes(b64decode(user["client-certificate-data"]) + b64decode(user["client-key-data"]))
        self._ssl.load_cert_chain(pem)
        pem.unlink()

    def __call__(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> tuple[int, Any]:
        """Return (status, decoded body); (0, None) where the server gives no answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, {"Content-Type": kind}, method=method)
        try:
            with urllib.request.urlopen(request, context=self._ssl, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            error.read()
            return error.code, None
        except (OSError, ValueError):
            return 0, None

    def merge(self, path: str, body: Any) -> int:
        return self("PATCH", path, body, "application/merge-patch+json")[0]


class Kubelet:
    """One node."""

    def __init__(self, server: Server, node: dict[str, Any]) -> None:
        self._server, self._node, self.name = server, node, node["metadata"]["name"]
        self._ends: dict[str, float] = {}
        self._leased_at = 0.0

    def register(self) -> bool:
        status, _ = self._server("POST", "/api/v1/nodes", self._node)
        if status == 409:  # parked: it comes back under its old object
            taken = {key: self._node["status"][key] for key in ("capacity", "allocatable")}
            status = self._server.merge(f"/api/v1/nodes/{self.name}/status", {"status": taken})
        return status in {200, 201} and self.report(ready=True)

    def report(self, *, ready: bool) -> bool:
        at, word = _seconds(), "True" if ready else "False"
        condition = {"type": "Ready", "status": word, "reason": "Test", "message": "heartbeat"}
        conditions = [condition | {"lastHeartbeatTime": at, "lastTransitionTime": at}]
        return self._server.merge(f"/api/v1/nodes/{self.name}/status", {"status": {"conditions": conditions}}) == 200

    def beat(self) -> None:
        """Renew the lease where it is time, and look after the pods."""
        if time.monotonic() - self._leased_at > _LEASE_S:
            spec = {"holderIdentity": self.name, "leaseDurationSeconds": 40, "renewTime": _now()}
            if self._server.merge(f"{_LEASES}/{self.name}", {"spec": spec}) == 404:
                self._server("POST", _LEASES, {"metadata": {"name": self.name}, "spec": spec})
            self._leased_at = time.monotonic()
            status, node = self._server("GET", f"/api/v1/nodes/{self.name}")
            if status == 200 and not any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in node["status"].get("conditions", ())
            ):
                self.report(ready=True)  # the controllers had not heard of it for too long
        status, answer = self._server("GET", f"/api/v1/pods?fieldSelector=spec.nodeName%3D{self.name}")
        if status == 200:
            for pod in answer["items"]:
                self._look_after(pod)

    def _look_after(self, pod: dict[str, Any]) -> None:
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        if meta.get("deletionTimestamp"):
            self._server("DELETE", path, {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}})
        elif pod["status"].get("phase") == "Pending":
            self._server.merge(f"{path}/status", {"status": _status(pod, "Running")})
            runs = meta.get("annotations", {}).get("test/run-seconds")
            if runs is not None:
                self._ends[meta["uid"]] = time.monotonic() + float(runs)
        elif pod["status"].get("phase") == "Running" and time.monotonic() > self._ends.get(meta["uid"], float("inf")):
            self._server.merge(f"{path}/status", {"status": _status(pod, "Succeeded")})


def _status(pod: dict[str, Any], phase: str) -> dict[str, Any]:
    running = phase == "Running"
    state: dict[str, Any] = {"running": {"startedAt": _seconds()}}
    if not running:
        state = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": _seconds()}}
    conditions = [c for c in pod["status"].get("conditions", []) if c["type"] == "PodScheduled"]
    word = "True" if running else "False"
    conditions += [{"type": kind, "status": word} for kind in ("Initialized", "Ready", "ContainersReady")]
    containers = [
        {"name": c["name"], "image": c["image"], "imageID": "", "ready": running, "restartCount": 0, "state": state}
        for c in pod["spec"]["containers"]
    ]
    return {"phase": phase, "startTime": _seconds(), "conditions": conditions, "containerStatuses": containers}


def node_object(words: argparse.Namespace) -> dict[str, Any]:
    """Return the Node that a machine registers."""
    labels = {"kubernetes.io/hostname": words.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    labels.update(label.split("=", 1) for label in words.label)
    amounts = {"cpu": words.cpu, "memory": words.memory, "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": words.name, "labels": labels},
        "spec": {"providerID": f"test://{words.name}"},
        "status": {"capacity": amounts, "allocatable": amounts},
    }


def _run(words: argparse.Namespace) -> None:
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    time.sleep(words.boot)
    kubelet = Kubelet(Server(words.kubeconfig, words.folder), node_object(words))
    while not stopped and not kubelet.register():
        time.sleep(0.5)
    while not stopped:
        kubelet.beat()
        time.sleep(_EVERY_S)
    kubelet.report(ready=False)


def _pods_on(words: argparse.Namespace) -> list[str] | None:
    """Return the pods of the node that have not ended; None where the API server gives no answer."""
    server = Server(words.kubeconfig, words.folder)
    status, answer = server("GET", f"/api/v1/pods?fieldSelector=spec.nodeName%3D{words.name}")
    if status != 200:
        return None
    ended = {"Succeeded", "Failed"}
    return [pod["metadata"]["name"] for pod in answer["items"] if pod["status"].get("phase") not in ended]


def _alive(pid_file: Path) -> int:
    with contextlib.suppress(OSError, ValueError):
        pid = int(pid_file.read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"heartbeat" in words:
            return pid
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["on", "off", "status", "run"])
    parser.add_argument("name")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--kubeconfig", type=Path)
    parser.add_argument("--cpu", default="4")
    parser.add_argument("--memory", default="8Gi")
    parser.add_argument("--label", action="append", default=[])
    parser.add_argument("--boot", type=float, default=0.5)
    words = parser.parse_args()
    pid_file = words.folder / f"{words.name}.pid"
    if words.action == "run":
        _run(words)
    elif words.action == "status":
        print("on" if _alive(pid_file) else "off")
    elif words.action == "on" and not _alive(pid_file):
        argv = [sys.executable, "-m", "tests.controlplane.heartbeat", "run", *sys.argv[2:]]
        with (words.folder / f"{words.name}.log").open("ab") as log, (words.folder / "orders").open("a") as orders:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            orders.write(f"on {words.name}\n")
        pid_file.write_text(str(child.pid))
    elif words.action == "off":
        if words.kubeconfig is not None:
            with (words.folder / "left").open("a") as left:
                left.write(f"{words.name} {json.dumps(_pods_on(words))}\n")
        pid = _alive(pid_file)
        if pid:
            os.kill(pid, signal.SIGTERM)
            ends = time.monotonic() + 10
            while _alive(pid_file) and time.monotonic() < ends and not _is_zombie(pid):
                time.sleep(0.05)
        with (words.folder / "orders").open("a") as orders:
            orders.write(f"off {words.name}\n")
    return 0


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    return True


if __name__ == "__main__":
    sys.exit(main())
