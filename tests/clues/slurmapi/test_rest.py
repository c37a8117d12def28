"""What may come of asking a slurmrestd, by a server on loopback that answers as later ones, and as none, do."""

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from clues.slurm_model import SlurmPartition
from clues.slurmapi.commands import Slurm
from clues.slurmapi.documents import read_partition_document
from clues.slurmapi.rest import SlurmRest
from infracore.errors import Cancelled, InfraError, Misconfigured, Transient, Unauthorised
from infracore.http import parse_address


class _Server:
    """Answers paths; keeps the headers that it was sent."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.seen: list[tuple[str, Mapping[str, str]]] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.seen.append((self.path, dict(self.headers)))
                status, body = owner.answers.get(self.path, (404, b"Unable find requested URL."))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def has(self, *versions: str, parts: tuple[str, ...] = ("jobs", "nodes", "partitions")) -> None:
        paths = {f"/slurm/{version}/{part}{end}": {} for version in versions for part in parts for end in ("", "/")}
        self.answers["/openapi/v3"] = 200, json.dumps({"openapi": "3.0.3", "paths": paths}).encode()

    def says(self, path: str, document: Any, status: int = 200) -> None:
        self.answers[path] = status, json.dumps(document).encode()


@pytest.fixture
def server() -> Iterator[_Server]:
    made = _Server()
    thread = threading.Thread(target=made.http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    made.http.shutdown()
    thread.join(10)
    made.http.server_close()


def rest(server: _Server, **words: Any) -> SlurmRest:
    url = f"http://127.0.0.1:{server.http.server_address[1]}"
    return SlurmRest(parse_address(url, "url"), Slurm("/nowhere"), limit_s=5.0, **words)


def token(folder: Path, claims: Any = None, mode: int = 0o600) -> Path:
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256"}, {"sun": "slurm"} if claims is None else claims)]
    text = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (*parts, b"signed"))
    path = folder / "token"
    path.write_text(f"SLURM_JWT={text}\n")
    path.chmod(mode)
    return path


JOB = {"job_id": 7, "job_state": ["PENDING"], "partition": "main", "state_reason": "Resources",
       "cpus": {"set": True, "infinite": False, "number": 4}}  # fmt: skip


def test_the_newest_version_that_has_everything_is_asked_and_its_document_once(server: _Server) -> None:
    server.has("v0.0.40", "v0.0.9", "v0.0.41")
    server.says("/slurm/v0.0.41/jobs", {"jobs": [JOB], "errors": [], "warnings": []})
    asked = rest(server)
    assert [item.job.id for item in (*asked.jobs().jobs, *asked.jobs().jobs)] == [7, 7]
    assert [path for path, _ in server.seen] == ["/openapi/v3", "/slurm/v0.0.41/jobs", "/slurm/v0.0.41/jobs"]
    assert "X-SLURM-USER-TOKEN" not in server.seen[1][1]


def test_a_server_that_was_updated_is_asked_for_its_versions_again(server: _Server) -> None:
    server.has("v0.0.38")
    asked = rest(server)
    assert asked.version() == "v0.0.38"
    server.has("v0.0.42")
    server.says("/slurm/v0.0.42/jobs", {"jobs": [JOB], "errors": []})
    with pytest.raises(Transient, match="404"):
        asked.jobs()
    assert asked.jobs().jobs[0].job.id == 7


def test_a_token_goes_with_the_user_that_it_is_for_and_is_read_anew(server: _Server, tmp_path: Path) -> None:
    server.has("v0.0.40")
    server.says("/slurm/v0.0.40/nodes", {"nodes": [], "errors": []})
    asked = rest(server, token_file=token(tmp_path))
    asked.nodes()
    token(tmp_path, {"sun": "operator"})
    asked.nodes()
    token(tmp_path, {"sun": "a\r\nX-Evil: b"})  # falls back to who we are
    asked.nodes()
    users = [headers["X-SLURM-USER-NAME"] for _, headers in server.seen]
    assert users[:3] == ["slurm", "slurm", "operator"]
    assert "X-Evil" not in server.seen[-1][1]
    assert server.seen[0][1]["X-SLURM-USER-TOKEN"].count(".") == 2


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [(None, 0o600, "cannot be read"), ("", 0o600, "holds no token"), ("a b", 0o600, "holds no token"),
     ("\udcff", 0o600, "cannot be read"), ("a.b.c", 0o644, "open to every user")],
)  # fmt: skip
def test_a_file_that_is_no_token_is_told_and_never_shown(
    server: _Server, tmp_path: Path, text: str | None, mode: int, said: str
) -> None:
    path = tmp_path / "token"
    if text is not None:
        path.write_bytes(text.encode(errors="surrogateescape"))
        path.chmod(mode)
    with pytest.raises(Misconfigured, match=said) as caught:
        rest(server, token_file=path).jobs()
    assert "a.b.c" not in str(caught.value)
    assert not server.seen


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (401, b"Authentication failure", Unauthorised, "Authentication failure"),
        (500, b'{"errors": [{"error": "Authentication credential expired"}]}', Unauthorised, "expired"),
        (500, b'{"errors": [{"description": "Unable to contact slurm controller"}]}', Transient, "Unable to contact"),
        (200, b'{"jobs": [], "errors": [{"error": "no"}]}', Transient, "no"),
        (200, b"<html>", Transient, "no JSON"),
        (200, b'{"jobs": 1}', Transient, "no JSON"),
        (302, b"", InfraError, "redirects"),
    ],
)
def test_what_goes_wrong_is_one_clear_error(
    server: _Server, status: int, body: bytes, kind: type[InfraError], said: str
) -> None:
    server.has("v0.0.38")
    server.answers["/slurm/v0.0.38/jobs"] = status, body
    with pytest.raises(kind, match=said):
        rest(server).jobs()


@pytest.mark.parametrize("document", [b"[]", b"<html>", b'{"paths": {"/slurmdb/v0.0.38/jobs": {}}}', b'{"paths": []}'])
def test_a_server_that_is_no_slurmrestd_for_nodes_is_told(server: _Server, document: bytes) -> None:
    server.answers["/openapi.json"] = 200, document  # the other place of the document
    with pytest.raises(Misconfigured, match=r"no slurmrestd|no API with jobs"):
        rest(server).nodes()
    server.has("v0.0.38", parts=("jobs",))
    with pytest.raises(Misconfigured, match="no API with jobs"):
        rest(server).nodes()


def test_stopping_ends_what_is_asked_and_what_will_be(server: _Server) -> None:
    asked = rest(server)
    asked.stopping.set()
    with pytest.raises(Cancelled):
        asked.nodes()


def _later(**changes: Any) -> dict[str, Any]:
    """Return a partition as v0.0.40 and later write it."""
    return {
        "name": "main",
        "nodes": {"configured": "wn[1-3]", "total": 3},
        "maximums": {
            "nodes": {"set": True, "infinite": False, "number": 2},
            "time": {"set": True, "infinite": True, "number": 0},
            "oversubscribe": {"jobs": 1, "flags": []},
        },
        "priority": {"job_factor": 1, "tier": 5},
        "partition": {"state": ["UP"]},
    } | changes


def test_partitions_of_later_versions_are_read_without_the_commands(server: _Server) -> None:
    server.has("v0.0.40")
    whole = _later(name="whole", nodes={"configured": ""}, partition={"state": ["DOWN"]})
    whole["maximums"] = whole["maximums"] | {"oversubscribe": {"jobs": 0, "flags": []}}
    server.says("/slurm/v0.0.40/partitions", {"partitions": [_later(), whole, {"nodes": 3}], "errors": []})
    partitions, problems = rest(server).partitions()
    assert partitions == (
        SlurmPartition("main", ("wn1", "wn2", "wn3"), max_nodes=2, tier=5),
        SlurmPartition("whole", (), is_up=False, max_nodes=2, tier=5, is_exclusive=True),
    )
    assert len(problems) == 1


@pytest.mark.parametrize("bad", [{"nodes": "wn[1-"}, {"maximums": []}, {"priority_tier": "x" * 9 + "y"}, {"name": 3}])
def test_a_partition_that_cannot_be_read_is_set_aside_or_taken_without_its_limit(bad: dict[str, Any]) -> None:
    found, _ = read_partition_document(json.dumps({"partitions": [_later(**bad), _later(name="b")]}).encode())
    assert found.partitions[-1].name == "b"
    assert len(found.partitions) + len(found.problems) == 2
