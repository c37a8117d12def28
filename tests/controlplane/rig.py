"""Runs etcd, kube-apiserver, kube-controller-manager and kube-scheduler on free loopback ports, with RBAC and TLS."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import yaml

from tests.controlplane.pki import Authority
from tests.controlplane.plane import ApiError, Plane
from tests.controlplane.programs import Programs

_P = TypeVar("_P", bound=Plane)
_READY_S = 90.0
_STOP_S = 15.0
# A scheduler that sees no node at all backs pods off and is not woken by the first one: this one is always there and
# takes nothing.
BASE_NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "base", "labels": {"kubernetes.io/hostname": "base", "kubernetes.io/os": "linux"}},
    "spec": {"taints": [{"key": "base", "effect": "NoSchedule"}]},
    "status": {
        "capacity": {"cpu": "2", "memory": "4Gi", "pods": "0"},
        "allocatable": {"cpu": "2", "memory": "4Gi", "pods": "0"},
    },
}


class ControlPlane(Plane):
    """The real one: four processes."""

    def __init__(
        self,
        folder: Path,
        programs: Programs,
        *,
        grace: str = "40s",
        controllers: str = "*",
        components: Sequence[str] = ("kube-controller-manager", "kube-scheduler"),
    ) -> None:
        super().__init__(folder)
        self.title = f"real, {programs.origin}"
        self._programs, self._grace, self._controllers, self._components = programs, grace, controllers, components
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._etcd, self._peer, self._port, self._manager, self._scheduler = free_ports(5)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    def start(self) -> None:
        pki = self.folder / "pki"
        authority = Authority(pki)
        authority.issue("apiserver", "kube-apiserver", server=True)
        authority.issue("admin", "admin", ["system:masters"])
        authority.issue("manager", "system:kube-controller-manager")
        authority.issue("scheduler", "system:kube-scheduler")
        authority.key_pair("sa")
        for name in ("admin", "manager", "scheduler"):
            self.write_kubeconfig(self.kubeconfig if name == "admin" else self.folder / f"{name}.conf", name)
        self._trust()
        self._start_etcd()
        self.start_apiserver()
        if "kube-controller-manager" in self._components:
            self._start_manager()
        if "kube-scheduler" in self._components:
            self._start_scheduler()
        if "kube-controller-manager" in self._components:
            self._wait("the default service account", "/api/v1/namespaces/default/serviceaccounts/default")
        self.create("/api/v1/nodes", BASE_NODE)

    def stop(self) -> None:
        for child in reversed(list(self._children.values())):
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGCONT)
                child.terminate()
        ends = time.monotonic() + _STOP_S
        for child in self._children.values():
            try:
                child.wait(max(0.1, ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._children.clear()

    # faults

    def kill_apiserver(self) -> None:
        """End the API server at once, as a crash does."""
        child = self._children.pop("kube-apiserver")
        child.kill()
        child.wait()

    def freeze_apiserver(self) -> None:
        """Stop it without closing its connections: what was asked gets no answer."""
        self._children["kube-apiserver"].send_signal(signal.SIGSTOP)

    def thaw_apiserver(self) -> None:
        self._children["kube-apiserver"].send_signal(signal.SIGCONT)

    def start_apiserver(self) -> None:
        pki = self.folder / "pki"
        self._start(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._port}",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.0.0.0/16",
            "--authorization-mode=RBAC",
            f"--client-ca-file={pki}/ca.crt",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key",
            "--max-requests-inflight=2000",
            "--max-mutating-requests-inflight=1000",
        )
        self._wait("the API server", "/readyz")

    def restart_controllers(self) -> None:
        """Start controller-manager and scheduler anew: after a long outage they wait up to a minute."""
        for name, start in (
            ("kube-controller-manager", self._start_manager),
            ("kube-scheduler", self._start_scheduler),
        ):
            if name in self._children:
                child = self._children.pop(name)
                child.kill()
                child.wait()
                start()

    # processes

    def _start(self, name: str, *flags: str) -> None:
        log = (self.folder / f"{name}.log").open("ab")
        self._children[name] = subprocess.Popen(
            [*self._programs.words[name], *flags],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self.folder,
            env={**os.environ, "GOMEMLIMIT": "1500MiB"},
            start_new_session=True,
        )
        log.close()

    def _start_etcd(self) -> None:
        client, peer = f"http://127.0.0.1:{self._etcd}", f"http://127.0.0.1:{self._peer}"
        data = self.folder / "etcd"
        if self._programs.own_etcd:
            self._start("etcd", str(data), client, peer)
        else:
            self._start(
                "etcd",
                f"--data-dir={data}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
            )

    def _start_manager(self) -> None:
        pki = self.folder / "pki"
        config = self.folder / "manager.conf"
        self._start(
            "kube-controller-manager",
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._manager}",
            "--leader-elect=false",
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={pki}/sa.key",
            f"--root-ca-file={pki}/ca.crt",
            "--kube-api-qps=2000",
            "--kube-api-burst=4000",
            f"--node-monitor-grace-period={self._grace}",
            f"--controllers={self._controllers}",
        )

    def _start_scheduler(self) -> None:
        config = self.folder / "scheduler.conf"
        settings = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": str(config), "qps": 5000, "burst": 5000},
            "leaderElection": {"leaderElect": False},
            "podInitialBackoffSeconds": 1,
            "podMaxBackoffSeconds": 2,
        }
        file = self.folder / "scheduler.yaml"
        file.write_text(yaml.safe_dump(settings))
        self._start(
            "kube-scheduler",
            f"--config={file}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._scheduler}",
        )

    def _wait(self, what: str, path: str) -> None:
        ends = time.monotonic() + _READY_S
        while time.monotonic() < ends:
            for name, child in self._children.items():
                if child.poll() is not None:
                    tail = (self.folder / f"{name}.log").read_text(errors="replace")[-1500:]
                    raise RuntimeError(f"{name} ended with status {child.returncode}: {tail}")
            with contextlib.suppress(ApiError, OSError):
                self.get(path)
                return
            time.sleep(0.05)
        raise RuntimeError(f"{what} did not answer within {_READY_S:g} s; logs: {self.folder}")


@contextlib.contextmanager
def running(plane: _P) -> Iterator[_P]:
    """Start it and stop it."""
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports
