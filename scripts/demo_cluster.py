"""The cluster of `make demo`: deployed on this computer, with the server that its front-end asks for workers."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from im_client.settings import load_settings

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
IM = BIN / "im"
TEMPLATE = "tosca_templates/slurm_elastic.yaml"
NAME = "demo"
ACCOUNT = "demo-cluesd"
FIRST_PORT = 8800


class Failed(Exception):
    """The demo cannot go on; the text says why."""


class Cluster:
    """What there is of the demo is in the folder `demo` of im's state: it can be taken up and taken away again."""

    def __init__(self) -> None:
        settings = load_settings(overrides={}, environ=os.environ, cwd=ROOT).value
        self.folder = settings.state_dir / "demo"
        self.page = self.folder / "report.html"
        self._pid = self.folder / "serve.pid"
        self._log = self.folder / "serve.log"
        self._url = self.folder / "serve.url"
        self._wheels = self.folder / "wheels"

    def im(self, *words: str, stdin: str = "", quietly: bool = True) -> str:
        """Run `im`; what it says of its progress is seen, its data only without `quietly`."""
        env = {**os.environ, "IM_CLUES_WHEELS": str(self._wheels)}
        done = subprocess.run(
            [IM, *words], cwd=ROOT, env=env, input=stdin, stdout=subprocess.PIPE, text=True, check=False
        )
        if not quietly:
            print(done.stdout, end="", flush=True)
        if done.returncode != 0:
            raise Failed(f"im {' '.join(words)}: it ended with {done.returncode}")
        return done.stdout

    def on_front(self, command: str) -> str:
        """Run a shell command on the front-end."""
        return self.im("ssh", NAME, "front", "--", command)

    def front_words(self, command: str) -> Sequence[str | Path]:
        """Return the words of a program that runs a shell command on the front-end."""
        return [IM, "ssh", NAME, "front", "--", command]

    def deploy(self, inputs: str) -> None:
        """Make the front-end, serve the API where it reaches it, then configure it with a token for that."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        given = self.folder / "inputs.yaml"
        given.touch(mode=0o600)
        try:
            given.write_text(inputs, encoding="utf-8")
            self.im("deploy", TEMPLATE, "--name", NAME, "-y", "--no-configure", "--inputs", str(given))
            self._collect_wheels()
            url = self._serve(self.im("outputs", NAME, "front_end_address").strip())
            given.write_text(f"{inputs}{self._access(url)}", encoding="utf-8")
            self.im("deploy", TEMPLATE, "--name", NAME, "-y", "--inputs", str(given))
        finally:
            given.unlink()

    def _access(self, url: str) -> str:
        """Return the inputs that let cluesd order workers here; the token is made once and known to the front-end."""
        made = self.folder / "token.made"
        if made.exists() and made.read_text() == url:
            return ""
        self.im("user", "add", ACCOUNT, "--password-stdin", stdin=secrets.token_urlsafe(24))
        token = self.im("user", "token", ACCOUNT, "--role", "scaler", "--infra", NAME).strip()
        ident = self.im("show", NAME, "--json").split('"id": "', 1)[1].split('"', 1)[0]
        made.write_text(url)
        return f"im_url: {url}\nim_infrastructure: {ident}\nim_token: {token}\n"

    def _collect_wheels(self) -> None:
        """Fetch what cluesd requires for the Python of the front-end, which may have no way to a package index."""
        version = self.on_front("python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'").strip()
        wanted = [ROOT / "requirements" / "run.txt", ROOT / "requirements" / "build.txt"]
        mark = self._wheels / ".made"
        said = "\n".join([version, *(path.read_text(encoding="utf-8") for path in wanted)])
        if mark.exists() and mark.read_text(encoding="utf-8") == said:
            return
        print("fetching what cluesd requires", file=sys.stderr, flush=True)
        shutil.rmtree(self._wheels, ignore_errors=True)
        words = ["--require-hashes", "--no-deps", "--only-binary=:all:", f"--python-version={version}"]
        files = [word for path in wanted for word in ("-r", str(path))]
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download"]
        if subprocess.call([*pip, *words, "--dest", str(self._wheels), *files], timeout=600) != 0:
            raise Failed("the packages that cluesd requires could not be fetched")
        mark.write_text(said, encoding="utf-8")

    # the server

    def _serve(self, front: str) -> str:
        """Run `im serve` on the address of this computer that the machines reach; returns its URL."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((front, 9))
            host = probe.getsockname()[0]
        if self._server() and self._url.exists() and f"//{host}:" in self._url.read_text():
            return self._url.read_text()
        self._stop_server()
        known = self._url.read_text().rpartition(":")[2] if self._url.exists() else ""
        port = int(known) if known else _free_port(host)
        with self._log.open("ab") as log:
            began = log.tell()
            server = subprocess.Popen(
                [IM, "serve", "--host", host, "-p", str(port)],
                cwd=ROOT,
                env={**os.environ, "IM_CLUES_WHEELS": str(self._wheels)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._pid.write_text(str(server.pid))
        ends = time.monotonic() + 30
        while b"im serve: http" not in self._log.read_bytes()[began:]:
            if server.poll() is not None or time.monotonic() > ends:
                raise Failed(f"im serve did not start; see {self._log}")
            time.sleep(0.1)
        self._url.write_text(f"http://{host}:{port}")
        return self._url.read_text()

    def _server(self) -> int:
        """Return the process of the server; 0 where it does not run."""
        try:
            pid = int(self._pid.read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return 0
        return pid if b"serve" in words and str(IM).encode() in words else 0

    def _stop_server(self) -> None:
        pid = self._server()
        if not pid:
            return
        os.kill(pid, signal.SIGTERM)
        ends = time.monotonic() + 30
        while self._server():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if time.monotonic() > ends:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    # the end

    def remove(self) -> None:
        """Take everything away: nobody can order workers meanwhile. May be repeated."""
        self._stop_server()
        if NAME in self.im("list", "--json"):
            self.im("destroy", NAME, "-y", "--skip-hooks", "--wait", "120")
        if ACCOUNT in self.im("user", "list", "--json"):
            self.im("user", "remove", ACCOUNT)
        shutil.rmtree(self.folder, ignore_errors=True)


def _free_port(host: str) -> int:
    for port in range(FIRST_PORT, FIRST_PORT + 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            return port
    raise Failed(f"no port from {FIRST_PORT} on is free on {host}")
