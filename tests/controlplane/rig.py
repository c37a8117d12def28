"""Runs etcd, kube-apiserver, kube-controller-manager and kube-scheduler on free loopback ports, with RBAC and TLS."""

import base64
import contextlib
import datetime
import ipaddress
import json
import os
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.controlplane.programs import Programs

_READY_S = 90.0
_STOP_S = 15.0
# A scheduler that sees no node at all backs pods off and is not woken by the first one: this one is always there and
# takes nothing.
_BASE_NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "base", "labels": {"kubernetes.io/hostname": "base", "kubernetes.io/os": "linux"}},
    "spec": {"taints": [{"key": "base", "effect": "NoSchedule"}]},
    "status": {
        "capacity": {"cpu": "2", "memory": "4Gi", "pods": "0"},
        "allocatable": {"cpu": "2", "memory": "4Gi", "pods": "0"},
    },
}


class _Authority:
    """A certificate authority of this run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test-ca")])
        constraint = x509.BasicConstraints(ca=True, path_length=None)
        signs = dict.fromkeys(("key_cert_sign", "crl_sign", "digital_signature"), True)
        others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only")
        usage = x509.KeyUsage(**signs, **dict.fromkeys((*others, "decipher_only"), False))
        certificate = self._builder(self._name, self._key).add_extension(constraint, critical=True)
        certificate = certificate.add_extension(usage, critical=True)
        self._write("ca", certificate.sign(self._key, hashes.SHA256()), self._key)

    def issue(self, file: str, name: str, groups: Sequence[str] = (), *, server: bool = False) -> None:
        """Write FILE.crt and FILE.key."""
        key = ec.generate_private_key(ec.SECP256R1())
        parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        builder = self._builder(x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if server:
            addresses = [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "10.0.0.1")]
            names = [x509.DNSName(text) for text in ("localhost", "kubernetes", "kubernetes.default.svc")]
            builder = builder.add_extension(x509.SubjectAlternativeName([*addresses, *names]), critical=False)
        self._write(file, builder.sign(self._key, hashes.SHA256()), key)

    def key_pair(self, file: str) -> None:
        """Write FILE.key and FILE.pub, for the tokens of service accounts."""
        key = ec.generate_private_key(ec.SECP256R1())
        self._write_key(file, key)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (self.folder / f"{file}.pub").write_bytes(public)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            # Python 3.13 verifies strictly: without these two it refuses the chain
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )

    def _write(self, file: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        (self.folder / f"{file}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self._write_key(file, key)

    def _write_key(self, file: str, key: ec.EllipticCurvePrivateKey) -> None:
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self.folder / f"{file}.key").write_bytes(text)


class ApiError(Exception):
    """An answer of the API server other than 2xx."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body[:500]}")
        self.status = status


class ControlPlane:
    """One control plane; `start` blocks until pods can be made, `stop` until every process has ended."""

    def __init__(
        self,
        folder: Path,
        programs: Programs,
        *,
        grace: str = "40s",
        controllers: str = "*",
        components: Sequence[str] = ("kube-controller-manager", "kube-scheduler"),
    ) -> None:
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self._programs, self._grace, self._controllers, self._components = programs, grace, controllers, components
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._etcd, self._peer, self._port, self._manager, self._scheduler = _free_ports(5)
        self._ssl: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    def start(self) -> None:
        pki = self.folder / "pki"
        authority = _Authority(pki)
        authority.issue("apiserver", "kube-apiserver", server=True)
        authority.issue("admin", "admin", ["system:masters"])
        authority.issue("manager", "system:kube-controller-manager")
        authority.issue("scheduler", "system:kube-scheduler")
        authority.key_pair("sa")
        for name in ("admin", "manager", "scheduler"):
            self.write_kubeconfig(self.kubeconfig if name == "admin" else self.folder / f"{name}.conf", name)
        self._ssl = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._ssl.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self._start_etcd()
        self.start_apiserver()
        if "kube-controller-manager" in self._components:
            self._start_manager()
        if "kube-scheduler" in self._components:
            self._start_scheduler()
        if "kube-controller-manager" in self._components:
            self._wait("the default service account", "/api/v1/namespaces/default/serviceaccounts/default")
        self.create("/api/v1/nodes", _BASE_NODE)

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

    # requests

    def request(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """Send one request as the administrator and return the decoded answer.

        Raises:
            ApiError: another status than 2xx. OSError: no answer.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": kind}, method=method)
        try:
            with urllib.request.urlopen(request, context=self._ssl, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, error.read().decode(errors="replace")) from error
        return json.loads(text) if text[:1] in {b"{", b"["} else text.decode()

    def create(self, path: str, body: Any) -> Any:
        return self.request("POST", path, body)

    def get(self, path: str) -> Any:
        return self.request("GET", path)

    def items(self, path: str) -> list[Any]:
        return list(self.get(path)["items"])

    def patch(self, path: str, body: Any) -> Any:
        return self.request("PATCH", path, body, "application/merge-patch+json")

    def delete(self, path: str, body: Any = None) -> Any:
        return self.request("DELETE", path, body)

    def write_kubeconfig(self, path: Path, name: str) -> None:
        pki = self.folder / "pki"

        def b64(file: str) -> str:
            return base64.b64encode((pki / file).read_bytes()).decode()

        user = {"client-certificate-data": b64(f"{name}.crt"), "client-key-data": b64(f"{name}.key")}
        self._write_config(path, name, user)

    def write_token_kubeconfig(self, path: Path, token: str) -> None:
        """Write a kubeconfig for a service account's token (see its `token` subresource)."""
        self._write_config(path, "token", {"token": token})

    def _write_config(self, path: Path, name: str, user: dict[str, str]) -> None:
        authority = base64.b64encode((self.folder / "pki" / "ca.crt").read_bytes()).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority-data": authority}}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(config))
        path.chmod(0o600)

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
def running(plane: ControlPlane) -> Iterator[ControlPlane]:
    """Start it and stop it."""
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports
