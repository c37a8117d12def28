"""A cluster that closes the loop: the control plane, cluesd as a process, and machines by the driver `command`."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.controlplane.plane import ApiError, Plane

ROOT = Path(__file__).resolve().parents[2]
_MANIFEST = ROOT / "kubernetes" / "rbac.yaml"
_PATHS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/clues/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/rolebindings",
}


def until(what: str, holds: Callable[[], Any], timeout_s: float = 40.0, *, story: Callable[[], str] = str) -> Any:
    """Wait until it holds and return what it returned; fail with its name and the story so far."""
    ends = time.monotonic() + timeout_s
    while not (value := holds()):
        if time.monotonic() > ends:
            raise AssertionError(f"not within {timeout_s:g} s: {what}\n{story()}")
        time.sleep(0.1)
    return value


def give_rights(plane: Plane, kubeconfig: Path) -> None:
    """Apply the RBAC manifest and write a kubeconfig with a token of its service account."""
    for document in yaml.safe_load_all(_MANIFEST.read_text()):
        with contextlib.suppress(ApiError):  # there from an earlier test
            plane.create(_PATHS[document["kind"]], document)
    path = "/api/v1/namespaces/clues/serviceaccounts/clues/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    plane.write_token_kubeconfig(kubeconfig, plane.create(path, request)["status"]["token"])


def pod_template(app: str, cpu: str, memory: str = "256Mi", **spec: Any) -> dict[str, Any]:
    """Return a pod template of one container that asks for so much."""
    requests = {"cpu": cpu, "memory": memory}
    container = {"name": "c", "image": "none", "resources": {"requests": requests}}
    body = {"terminationGracePeriodSeconds": 1, "containers": [container], **spec}
    return {"metadata": {"labels": {"app": app}}, "spec": body}


class Cluster:
    """Machines of one pool, and cluesd over them. `prefix` keeps the names of tests apart on a shared control plane."""

    def __init__(self, plane: Plane, folder: Path, prefix: str, machines: int = 4) -> None:
        self.plane, self.folder, self.prefix = plane, folder, prefix
        self.namespace = prefix
        self.machines = [f"{prefix}-{number}" for number in range(1, machines + 1)]
        self.config = folder / "clues.yaml"
        self.socket = folder / "clues.sock"
        self.log = folder / "cluesd.log"
        self._daemon: subprocess.Popen[bytes] | None = None
        self.boot_s = 0.5
        self.driver: dict[str, Any] | None = None
        self.more_pools: list[dict[str, Any]] = []
        self.settings: dict[str, Any] = {}
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(ApiError):
            plane.create("/api/v1/namespaces", {"metadata": {"name": self.namespace}})
        give_rights(plane, folder / "clues.kubeconfig")

    def write_config(self, **policy: Any) -> None:
        beat = [sys.executable, "-m", "tests.controlplane.heartbeat"]
        place = ["{machine}", "--folder", str(self.folder)]
        on = [*beat, "on", *place, "--kubeconfig", str(self.plane.kubeconfig), "--label", f"pool={self.prefix}"]
        driver = self.driver or {
            "type": "command",
            "on": [*on, "--boot", str(self.boot_s)],
            "off": [*beat, "off", *place, "--kubeconfig", str(self.plane.kubeconfig)],
            "status": [*beat, "status", *place],
        }
        pool = {
            "name": self.prefix,
            "driver": "machines",
            "max": len(self.machines),
            "allocatable": {"cpu": "4", "memory": "8Gi"},
            "labels": {
                "pool": self.prefix,
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/os": "linux",
            },
            "powered": True,
            "machines": [{"name": name} for name in self.machines],
        }
        config = {
            "kubernetes": {"kubeconfig": str(self.folder / "clues.kubeconfig")},
            "drivers": {"machines": driver},
            "pools": [pool, *self.more_pools],
            "policy": {
                "unneeded_s": 2,
                "delay_after_scale_up_s": 2,
                "max_provision_s": 60,
                "block_kube_system": False,
                **policy,
            },
            "loop": {"tick_s": 0.5},
            "daemon": {
                "state_dir": str(self.folder / "state"),
                "socket": str(self.socket),
                "metrics_listen": "127.0.0.1:0",
            },
        }
        for section, values in self.settings.items():
            config[section] = {**config.get(section, {}), **values}  # type: ignore[dict-item]
        self.config.write_text(yaml.safe_dump(config))

    # the daemon

    def start(self, *words: str) -> None:
        argv = [sys.executable, "-m", "clues.cli.main", "--config", str(self.config), *words]
        argv[1:3] = ["-c", "from clues.cli.main import daemon; raise SystemExit(daemon())"]
        with self.log.open("ab") as log:
            self._daemon = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT, start_new_session=True
            )
        until("cluesd answers", lambda: self.alive() and self.socket.exists() and self.status(), story=self.story)

    def alive(self) -> bool:
        assert self._daemon is not None
        if self._daemon.poll() is not None:
            raise AssertionError(f"cluesd ended with status {self._daemon.returncode}\n{self.story()}")
        return True

    def stop(self) -> float:
        """End it by SIGTERM and return the seconds that it took."""
        assert self._daemon is not None
        began = time.monotonic()
        self._daemon.terminate()
        status = self._daemon.wait(20)
        self._daemon = None
        assert status == 0, self.story()
        return time.monotonic() - began

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self._daemon is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._daemon.pid, signal.SIGKILL)
            self._daemon.wait()
            self._daemon = None

    def close(self) -> None:
        """End everything that was started, and take the objects away."""
        self.kill()
        for name in self.machines:
            subprocess.run(
                [sys.executable, "-m", "tests.controlplane.heartbeat", "off", name, "--folder", str(self.folder)],
                cwd=ROOT,
                check=False,
                timeout=30,
            )
        with contextlib.suppress(ApiError, OSError):
            self.plane.delete(f"/api/v1/namespaces/{self.namespace}")
            until("the namespace is empty", self._is_empty, 30)
        for node in self.nodes():
            with contextlib.suppress(ApiError):
                self.plane.delete(f"/api/v1/nodes/{node['metadata']['name']}")

    def _is_empty(self) -> bool:
        """End the pods that still stand: nobody plays their kubelet any more, and nobody may make others."""
        for pod in self.pods():
            with contextlib.suppress(ApiError):
                path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}"
                self.plane.delete(path, {"gracePeriodSeconds": 0})
        return not self.pods()

    # what people see

    def clues(self, *words: str, status: int | None = 0) -> str:
        argv = [sys.executable, "-m", "clues.cli.main", "--config", str(self.config), *words]
        done = subprocess.run(
            argv, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False, env={**os.environ, "NO_COLOR": "1"}
        )
        said = f"clues {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert status is None or done.returncode == status, f"{said}\n{self.story()}"
        return done.stdout

    def status(self) -> Any:
        text = self.clues("status", "--json", status=None)
        return json.loads(text) if text.startswith("{") else None

    def story(self) -> str:
        tail = self.log.read_text(errors="replace")[-6000:] if self.log.exists() else ""
        nodes = [node["metadata"]["name"] for node in self.nodes()]
        return f"--- cluesd\n{tail}\n--- orders\n{self.orders()}\n--- nodes {nodes}"

    def orders(self) -> list[str]:
        """Return what the driver was told, such as `on loop-1`."""
        file = self.folder / "orders"
        return file.read_text().splitlines() if file.exists() else []

    def left_behind(self) -> dict[str, list[str] | None]:
        """Return the pods that machines of the driver `command` had when they were turned off, by machine."""
        file = self.folder / "left"
        lines = [line.partition(" ") for line in file.read_text().splitlines()] if file.exists() else []
        found = {name: json.loads(pods) for name, _, pods in lines}
        return {name: pods for name, pods in found.items() if pods != []}

    def why(self, name: str) -> Any:
        """Return what `clues why` answers, as JSON; None where it knows nothing of the name."""
        text = self.clues("why", name, "--json", status=None)
        return json.loads(text) if text.startswith("{") else None

    # what the cluster shows

    def nodes(self) -> list[Any]:
        return [n for n in self.plane.items("/api/v1/nodes") if n["metadata"]["name"].startswith(f"{self.prefix}-")]

    def ready(self) -> list[str]:
        return [
            node["metadata"]["name"]
            for node in self.nodes()
            if any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))
            and not node["spec"].get("unschedulable")
        ]

    def pod(self, app: str) -> Any:
        """Return one of the pods of an app, once there is one."""

        def first() -> Any:
            return next((pod for pod in self.pods() if pod["metadata"].get("labels", {}).get("app") == app), None)

        return until(f"there is a pod of {app}", first, story=self.story)

    def pods(self, phase: str = "") -> list[Any]:
        found = self.plane.items(f"/api/v1/namespaces/{self.namespace}/pods")
        return [pod for pod in found if phase in {"", pod["status"].get("phase")}]

    def deploy(self, app: str, replicas: int, cpu: str, **spec: Any) -> None:
        body = {
            "metadata": {"name": app},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": app}},
                "template": pod_template(app, cpu, **spec),
            },
        }
        self.plane.create(f"/apis/apps/v1/namespaces/{self.namespace}/deployments", body)

    def scale(self, app: str, replicas: int) -> None:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{app}"
        self.plane.patch(path, {"spec": {"replicas": replicas}})

    def budget(self, app: str, min_available: int) -> None:
        spec = {"minAvailable": min_available, "selector": {"matchLabels": {"app": app}}}
        path = f"/apis/policy/v1/namespaces/{self.namespace}/poddisruptionbudgets"
        self.plane.create(path, {"metadata": {"name": app}, "spec": spec})

    def set_budget(self, app: str, min_available: int, allowed: int) -> None:
        """Change a budget, and wait until the controller says that it allows so many disruptions now."""
        path = f"/apis/policy/v1/namespaces/{self.namespace}/poddisruptionbudgets/{app}"
        generation = self.plane.patch(path, {"spec": {"minAvailable": min_available}})["metadata"]["generation"]

        def is_seen() -> bool:
            status = self.plane.get(path).get("status", {})
            return bool(status.get("observedGeneration") == generation and status.get("disruptionsAllowed") == allowed)

        until(f"the budget allows {allowed}", is_seen, story=self.story)

    def running(self) -> int:
        return len([pod for pod in self.pods("Running") if not pod["metadata"].get("deletionTimestamp")])


@contextlib.contextmanager
def cluster(plane: Plane, folder: Path, prefix: str, machines: int = 4) -> Iterator[Cluster]:
    """Make one and take it away."""
    made = Cluster(plane, folder, prefix, machines)
    try:
        yield made
    finally:
        made.close()
