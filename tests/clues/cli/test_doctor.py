"""`clues doctor`: every finding, and none that hides another."""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from clues.cli.examine import Finding, Severity, examine
from clues.settings import Settings
from infracore.errors import Misconfigured, TimedOut
from tests.clues.api.fake_control import NOW, FakeControl, a_status


def wrong_settings() -> Settings:
    raise Misconfigured("clues.yaml:3: no", "mend it")


def fails(_settings: Settings) -> Sequence[Finding]:
    raise TimedOut("slow", "wait")


def breaks(_settings: Settings) -> Sequence[Finding]:
    raise PermissionError(13, "denied", "/x")


def works(settings: Settings) -> Sequence[Finding]:
    return [Finding("c", "c", Severity.OK, settings.daemon.metrics_listen)]


def test_every_part_is_examined_whatever_fails_before_it() -> None:
    found = examine(wrong_settings, {"a": fails, "b": breaks, "c": works})
    assert [(f.area, f.severity.value) for f in found] == [
        ("settings", "error"), ("a", "error"), ("b", "error"), ("c", "ok"),
    ]  # fmt: skip
    assert found[0].remedy == "mend it"
    assert "denied" in found[2].text


def test_it_speaks_of_state_daemon_service_and_clock_without_any_of_them(clues, tmp_path: Path) -> None:
    answer = clues("doctor", "--json")
    found = {(f["area"], f["check"]): f for f in answer.json}
    assert {area for area, _ in found} >= {"settings", "state", "daemon", "service", "clock"}
    assert found["daemon", "socket"]["severity"] == "warning"
    assert "systemctl start cluesd" in found["daemon", "socket"]["remedy"]
    assert found["state", "folder"]["text"].startswith(f"{tmp_path}/state is not there yet")


@pytest.fixture
def api_server(tmp_path: Path) -> Iterator[set[str]]:
    """An API server on loopback that a kubeconfig names; the verbs in the set are not allowed."""
    refused: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer({"gitVersion": "v1.36.2"})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.answer({"status": {"allowed": asked["spec"]["resourceAttributes"]["verb"] not in refused}})

        def answer(self, shape: object) -> None:
            content = json.dumps(shape).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    config = {"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": [context],
              "users": [{"name": "u", "user": {}}], "current-context": "x"}  # fmt: skip
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    yield refused
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_cluster_is_asked_for_its_version_and_our_rights(clues, api_server: set[str]) -> None:
    found = [f for f in clues("doctor", "--json").json if f["area"] == "cluster"]
    assert [(f["check"], f["severity"]) for f in found] == [("server", "ok"), ("clock", "ok"), ("rights", "ok")]
    api_server.add("watch")
    answer = clues("doctor")
    assert answer.status == 1
    assert "may not, to see the cluster: watch pods, watch namespaces" in answer.out


def test_a_cluster_that_is_not_there_hides_nothing_else(clues, tmp_path: Path, api_server: set[str]) -> None:
    text = (tmp_path / "kubeconfig").read_text()
    (tmp_path / "kubeconfig").write_text(re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:1", text))
    found = clues("doctor", "--json").json
    (cluster,) = [f for f in found if f["area"] == "cluster"]
    assert cluster["severity"] == "error"
    assert "127.0.0.1:1" in cluster["text"]
    assert {f["area"] for f in found} >= {"state", "daemon", "service", "clock"}


def test_a_daemon_that_makes_no_progress_is_an_error(clues, control: FakeControl) -> None:
    assert "version 0.1.0" in clues("doctor").out
    control.state = a_status(last_pass_at=NOW - 600, problems=("watch of pods: 403",))
    answer = clues("doctor")
    assert answer.status == 1
    assert "no pass for 10 m 00 s" in answer.out
    assert "watch of pods: 403" in answer.out


def test_wrong_settings_are_one_finding(clues, tmp_path: Path) -> None:
    (tmp_path / "clues.yaml").write_text("polcy: {}\n")
    answer = clues("doctor", "--json")
    assert answer.status == 1
    assert answer.json[0]["severity"] == "error"
    assert "clues.yaml:1" in answer.json[0]["text"]
    assert len({f["area"] for f in answer.json}) >= 5


def test_a_damaged_history_is_found(clues, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "history.db").write_bytes(b"nonsense" * 200)
    found = {(f["area"], f["check"]): f for f in clues("doctor", "--json").json}
    assert found["state", "history"]["severity"] == "error"


def test_a_slurmrestd_that_is_not_there_and_a_missing_scontrol_are_two_findings(clues, tmp_path: Path) -> None:
    path = tmp_path / "clues.yaml"
    path.write_text(f"{path.read_text()}cluster: slurm\nslurm: {{restd: 'unix:{tmp_path}/rest', folder: /nowhere}}\n")
    found = {(f["area"], f["check"]): f for f in clues("doctor", "--json").json}
    assert found["cluster", "slurmrestd"]["severity"] == "error"
    assert f"unix:{tmp_path}/rest does not answer" in found["cluster", "slurmrestd"]["text"]
    assert "'/nowhere/scontrol' is not installed" in found["cluster", "scontrol"]["text"]


def test_a_slurmrestd_that_is_written_wrongly_is_told_by_the_check(clues, tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text("cluster: slurm\nslurm: {restd: 'localhost:6820'}\n")
    done = clues("config", "check", "new.yaml")
    assert done.status == 2
    assert "new.yaml:2: slurm.restd: 'localhost:6820' is no http(s) address" in done.err
