"""A real `im serve` on loopback, in a process of its own, with the provider `fake`."""

import json
import os
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from im_client.services.context import open_context
from im_client.services.server.accounts import Accounts
from im_client.services.server.house import open_records
from im_client.state.server import Role
from infracore.secrets import Secret
from tests.rigs.process import Daemon, daemon, wait_until

__all__ = ["Answer", "Client", "Serve", "im_serve"]

PASSWORD = "correct horse"


@dataclass(frozen=True)
class Answer:
    """What the server answered."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Client:
    """Asks as one user does."""

    url: str
    auth: str
    headers: dict[str, str] = field(default_factory=dict)
    trusts: ssl.SSLContext | None = None

    def __call__(self, method: str, path: str, body: str | bytes | None = None, **headers: str) -> Answer:
        """Send one request; `Content_Type="..."` is the header Content-Type."""
        url = path if path.startswith("http") else self.url + path
        said = {"Authorization": self.auth, **self.headers, **{k.replace("_", "-"): v for k, v in headers.items()}}
        data = body.encode() if isinstance(body, str) else body
        request = urllib.request.Request(url, data, {k: v for k, v in said.items() if v}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60, context=self.trusts) as answer:
                return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                found = {k.lower(): v for k, v in error.headers.items()}
                return Answer(error.code, found, error.read().decode())

    def create(self, template: str, kind: str = "text/yaml") -> str:
        """Make an infrastructure, wait until nothing goes on with it, and return its path."""
        answer = self("POST", "/infrastructures", template, Content_Type=kind)
        assert answer.status == 200, answer.text
        self.settle(answer)
        return "/" + answer.text.split("/", 3)[3]

    def settle(self, answer: Answer) -> dict[str, Any]:
        """Wait for the operation behind an answer, and return it."""
        return self.settle_at(answer.headers["operation"])

    def settle_at(self, operation: str, within_s: float = 60) -> dict[str, Any]:
        """Wait for an operation, and return it."""
        found: dict[str, Any] = {}

        def is_over() -> bool:
            found.update(self("GET", operation).json)
            return found["state"] not in {"queued", "running"}

        wait_until(is_over, f"{operation} ends", within_s)
        return found

    def vms(self, infra: str) -> dict[str, str]:
        """Return VM number -> state."""
        return dict(self("GET", f"{infra}/state").json["state"]["vm_states"])


@dataclass
class Serve:
    """The running server."""

    running: Daemon
    url: str
    env: Mapping[str, str]

    def user(self, name: str, *, admin: bool = False) -> Client:
        """Make an account and return a client that asks as it."""
        with self._accounts() as accounts:
            accounts.add(name, Secret(PASSWORD), is_admin=admin)
        line = f"type = InfrastructureManager; username = {name}; password = {PASSWORD}"
        return Client(self.url, f"{line}\\nid = fk; type = Dummy")

    def token(self, name: str, role: Role = Role.OWNER, infra: str | None = None) -> Client:
        """Make a token and return a client that asks with it."""
        with self._accounts() as accounts:
            _, token = accounts.make_token(name, role=role, infrastructure=infra)
        return Client(self.url, f"Bearer {token.reveal()}")

    @contextmanager
    def _accounts(self) -> Iterator[Accounts]:
        """Open the accounts of the running server, as `im user` does."""
        with open_context(environ=self.env, cwd=Path(self.env["HOME"])) as ctx:
            yield Accounts(open_records(ctx), ctx.clock)

    def want(self, infra: str, old: str, new: str) -> None:
        """Record another template and carry nothing of it out, as a change leaves it that failed."""
        with open_context(environ=self.env, cwd=Path(self.env["HOME"])) as ctx:
            record = ctx.store.infrastructure(infra.rsplit("/", 1)[1])
            files = {name: text.replace(old, new) for name, text in record.source.files.items()}
            assert files != record.source.files
            ctx.store.set_source(record.id, replace(record.source, files=files), ctx.clock.now())

    def im(self, *words: str, stdin: str = "") -> str:
        """Run `im` on the state folder of the server."""
        argv = [sys.executable, "-m", "im_client.cli.main", *words]
        done = subprocess.run(argv, env=self.env, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def im_serve(folder: Path, **settings: str) -> Iterator[Serve]:
    """Run one; its state is in the folder. `settings` are environment variables, `IM_...`."""
    env = {
        **os.environ,
        "HOME": str(folder),
        "IM_STATE_DIR": str(folder / "state"),
        "IM_CACHE_DIR": str(folder / "cache"),
        "IM_PROVIDER": "fake",
        "NO_COLOR": "1",
        **settings,
    }
    argv = [sys.executable, "-m", "im_client.cli.main", "serve", "-p", "0"]
    with daemon(argv, folder, env) as running:
        running.wait_for(lambda: "im serve: " in running.said())
        address = re.search(r"im serve: (\S+)", running.said())
        assert address is not None
        yield Serve(running, address[1], env)
