"""An elastic cluster on machines of this computer: `im serve`, the front-end with cluesd, and what is seen of both."""

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from im_client.providers.local.network import gateway
from im_client.providers.local.settings import LocalSettings
from tests.e2e.conftest import SITE, Im
from tests.rigs.certificates import certificate
from tests.rigs.im_serve import Client
from tests.rigs.process import Daemon, daemon

__all__ = ["Elastic", "elastic", "wheels"]

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "tosca_templates" / "slurm_elastic.yaml"
PASSWORD = "a long password"


def wheels() -> Path:
    """Return a folder with what cluesd requires, for this computer's own Python; fetched once."""
    wanted = [ROOT / "requirements" / "run.txt", ROOT / "requirements" / "build.txt"]
    ask = ["/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    version = subprocess.run(ask, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in wanted) + version.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "im-clues-tests"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"wheels-{digest}"
    with (cache / "wheels.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".complete").exists():
            pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
            pip += ["--require-hashes", "--no-deps", "--only-binary=:all:", f"--python-version={version}"]
            files = [word for path in wanted for word in ("-r", str(path))]
            subprocess.run([*pip, "--dest", folder, *files], check=True, timeout=600, stdin=subprocess.DEVNULL)
            (folder / ".complete").touch()
    return folder


@dataclass
class Elastic:
    """The deployed cluster. `seen` holds what the provider calls every worker that `workers` has shown."""

    im: Im
    folder: Path
    host: str
    port: int
    certificate: Path
    ident: str = ""
    seen: set[str] = field(default_factory=set)
    server: Daemon | None = None
    _held: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    def client(self, auth: str) -> Client:
        """Return somebody who asks the server."""
        return Client(self.url, auth, trusts=ssl.create_default_context(cafile=str(self.certificate)))

    def serve(self) -> None:
        """Run `im serve` where the machines reach it."""
        argv = self.im.argv("serve", "--host", self.host, "-p", str(self.port))
        env = {
            **self.im.env,
            "PYTHONPATH": str(ROOT),
            "IM_CLUES_WHEELS": str(wheels()),
            "IM_SERVER_PUBLIC_URL": self.url,
            "IM_SERVER_PUBLIC_CA_FILE": str(self.certificate),
            "IM_SERVER_TLS_CERTIFICATE": str(self.certificate),
            "IM_SERVER_TLS_KEY": str(self.certificate.with_suffix(".key")),
        }
        self.server = self._held.enter_context(daemon(argv, self.folder, env))
        self.server.wait_for(lambda: "im serve: " in self.said())

    def kill(self) -> None:
        """kill -9 of the server and of all that it runs."""
        assert self.server is not None
        os.killpg(self.server.process.pid, signal.SIGKILL)
        self.server.process.wait(20)

    def said(self) -> str:
        return self.server.said() if self.server is not None else ""

    def close(self) -> None:
        self._held.close()

    def front(self, command: str, *, status: int | None = 0) -> str:
        """Run a shell command on the front-end."""
        return self.im("ssh", self.ident, "front", "--", command, status=status).stdout

    def workers(self) -> dict[str, str]:
        """Return worker -> phase, as im knows them."""
        found = {name: node for name, node in self.im.machines(self.ident).items() if node["group"] == "worker"}
        self.seen |= {node["provider_id"] for node in found.values() if node["provider_id"]}
        return {name: node["phase"] for name, node in found.items()}

    def submit(self, count: int, script: str) -> list[str]:
        """Submit so many jobs at once and return their numbers."""
        return self.front(f"sbatch --parsable -o /dev/null --wrap '{script}'\n" * count).split()

    def jobs(self) -> dict[str, tuple[str, str]]:
        """Return job -> state and nodes; those that ended among them."""
        lines = self.front("squeue -h -a -t all -o '%i %T %N'").splitlines()
        return {words[0]: (words[1], "".join(words[2:])) for words in (line.split() for line in lines)}

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.front("clues report --since 1h --json"))
        return found

    def story(self) -> str:
        """Return what is said of the cluster now, for messages of failures."""
        asked = "clues pods; clues nodes; sinfo -N -l; journalctl --no-pager -n 60 -u cluesd"
        return f"{self.front(asked, status=None)}\n{self.im('logs', self.ident, status=None).stdout}\n{self.said()}"


@contextmanager
def elastic(im: Im, folder: Path, **inputs: Any) -> Iterator[Elastic]:
    """Deploy one through the server alone, by somebody who has nothing but an account there.

    Its machines go with the fixture `im`, its server with this.
    """
    host = _host(im)
    with socket.socket() as probe:
        probe.bind((host, 0))
        made = Elastic(im, folder, host, probe.getsockname()[1], certificate(folder, host)[0])
    add = im.argv("user", "add", "ana", "--password-stdin")
    subprocess.run(add, env=im.env, input=f"{PASSWORD}\n", text=True, check=True, capture_output=True, timeout=60)
    template = yaml.safe_load(TEMPLATE.read_text("utf-8"))
    for name, value in inputs.items():
        template["topology_template"]["inputs"][name]["default"] = value
    with contextlib.closing(made):
        made.serve()
        ana = made.client(f"type = InfrastructureManager; username = ana; password = {PASSWORD}")
        answer = ana("POST", "/infrastructures", yaml.safe_dump(template), Content_Type="text/yaml")
        assert answer.status == 200, answer.text
        made.ident = answer.headers["infid"]
        settled = ana.settle_at(answer.headers["operation"], 280)
        assert settled["state"] == "done", made.story()
        yield made


def _host(im: Im) -> str:
    """Return the address of this computer on the network of its machines, which is there as long as one of them is."""
    im("deploy", str(SITE / "machine.yaml"), "--name", "network", "-y")
    return gateway(json.loads((LocalSettings().root / "network.json").read_text())["network"])
