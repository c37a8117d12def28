"""The small control plane as tests see it."""

import secrets
import ssl
from pathlib import Path
from typing import Any

from tests.controlplane.pki import Authority
from tests.controlplane.plane import Plane
from tests.controlplane.rig import BASE_NODE, free_ports
from tests.controlplane.small.controllers import Controllers
from tests.controlplane.small.server import SmallServer
from tests.controlplane.small.store import Store


class SmallPlane(Plane):
    """Runs in this process; the store outlives its server, as etcd does."""

    title = "small (tests/controlplane/small)"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.store = Store()
        self._controllers = Controllers(self.store)
        self._token = secrets.token_hex(16)
        (self._port,) = free_ports(1)
        self._server: SmallServer | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    def start(self) -> None:
        authority = Authority(self.folder / "pki")
        authority.issue("apiserver", "kube-apiserver", server=True)
        authority.issue("admin", "admin", ["system:masters"])
        self.write_kubeconfig(self.kubeconfig, "admin")
        self._trust()
        self.start_apiserver()
        for name in ("default", "kube-system"):
            self.create("/api/v1/namespaces", {"metadata": {"name": name}})
        self.create("/api/v1/nodes", BASE_NODE)

    def stop(self) -> None:
        if self._server is not None:
            self.kill_apiserver()

    def kill_apiserver(self) -> None:
        assert self._server is not None
        self._controllers.stop()  # they hear and say nothing without it
        self._server.close()
        self._server = None

    def start_apiserver(self) -> None:
        pki = self.folder / "pki"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki / "apiserver.crt", pki / "apiserver.key")
        context.load_verify_locations(pki / "ca.crt")
        context.verify_mode = ssl.CERT_OPTIONAL
        self._server = SmallServer(self.store, self._port, context, self._token)
        self._controllers.start()

    def restart_controllers(self) -> None:
        """Nothing waits here."""

    def force(self, resource: str, item: dict[str, Any]) -> None:
        """Show an object that no API server would take: see `Store.force`."""
        self.store.force(resource, item)
