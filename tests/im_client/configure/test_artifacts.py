"""Where artifacts come from: files, https with a cache, Galaxy."""

import hashlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from im_client.configure.fetch import local_file
from im_client.configure.galaxy import Installed, install, requirement
from im_client.topology.model import Artifact, ArtifactKind
from infracore.errors import CommandFailed, InfraError, Misconfigured, NotFound, Transient, Unauthorised
from tests.rigs.certificates import certificate

TEXT = b"- debug: {msg: hi}\n"
SHA = hashlib.sha256(TEXT).hexdigest()


@dataclass
class Server:
    """An https server on the loopback address."""

    url: str
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    chain, key = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    found = Server("")

    class Handler(http.server.BaseHTTPRequestHandler):
        answers: ClassVar[dict[str, int]] = {"/gone.yml": 404, "/private.yml": 403, "/busy.yml": 503, "/moved.yml": 302}

        def do_GET(self) -> None:
            found.asked.append(self.path)
            self.send_response(self.answers.get(self.path, 200))
            if self.path == "/moved.yml":
                self.send_header("Location", "http://127.0.0.1:1/plain.yml")
            self.end_headers()
            self.wfile.write(TEXT)

        def log_message(self, format: str, *args: object) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), name="https")
    thread.start()
    found.url = f"https://127.0.0.1:{httpd.server_port}"
    yield found
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def _web(url: str, sha256: str | None = None) -> Artifact:
    return Artifact(ArtifactKind.PLAYBOOK, url, sha256=sha256)


def test_a_local_file_is_itself(tmp_path: Path) -> None:
    file = tmp_path / "a.yml"
    file.write_bytes(TEXT)
    assert local_file(_web(str(file), SHA), tmp_path, offline=True) == file


@pytest.mark.parametrize("location", ["/absent/a.yml", "http://127.0.0.1/a.yml", "ftp://127.0.0.1/a.yml"])
def test_what_is_neither_a_file_nor_https_is_refused(tmp_path: Path, location: str) -> None:
    with pytest.raises(Misconfigured):
        local_file(_web(location), tmp_path, offline=False)


def test_a_file_with_another_checksum_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.yml"
    file.write_bytes(TEXT + b"# changed\n")
    with pytest.raises(Misconfigured, match="SHA-256"):
        local_file(_web(str(file), SHA), tmp_path, offline=False)


def test_an_artifact_with_a_checksum_is_fetched_once(tmp_path: Path, server: Server) -> None:
    artifact = _web(f"{server.url}/a.yml", SHA)
    paths = {local_file(artifact, tmp_path, offline=offline) for offline in (False, False, True)}
    assert server.asked == ["/a.yml"]
    assert [path.read_bytes() for path in paths] == [TEXT]
    assert {path.name for path in paths} == {"a.yml"}


def test_an_artifact_with_a_wrong_checksum_is_never_cached(tmp_path: Path, server: Server) -> None:
    artifact = _web(f"{server.url}/a.yml", "0" * 64)
    for offline in (False, True):
        with pytest.raises(Misconfigured):
            local_file(artifact, tmp_path / "cache", offline=offline)
    assert not list((tmp_path / "cache").rglob("a.yml"))


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/gone.yml", NotFound),
        ("/private.yml", Unauthorised),
        ("/busy.yml", Transient),
        ("/moved.yml", Misconfigured),
    ],
)
def test_what_the_server_says_becomes_an_error_of_ours(
    tmp_path: Path, server: Server, path: str, error: type[InfraError]
) -> None:
    with pytest.raises(error):
        local_file(_web(server.url + path), tmp_path, offline=False)


def test_a_cached_copy_serves_where_the_server_cannot_be_reached(tmp_path: Path, server: Server) -> None:
    artifact = _web(f"{server.url}/a.yml")
    local_file(artifact, tmp_path, offline=False)
    server.asked.clear()
    assert local_file(artifact, tmp_path, offline=True).read_bytes() == TEXT
    assert server.asked == []


def test_offline_without_a_copy_says_so(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="offline"):
        local_file(_web("https://127.0.0.1:1/a.yml"), tmp_path, offline=True)


def test_a_server_that_cannot_be_reached_is_worth_another_try(tmp_path: Path) -> None:
    with pytest.raises(Transient):
        local_file(_web("https://127.0.0.1:1/a.yml"), tmp_path, offline=False)


@pytest.mark.parametrize(
    ("artifact", "entry"),
    [
        (Artifact(ArtifactKind.ROLE, "grycap.nfs"), {"src": "grycap.nfs"}),
        (Artifact(ArtifactKind.ROLE, "grycap.nfs,v1"), {"src": "grycap.nfs", "version": "v1"}),
        (
            Artifact(ArtifactKind.ROLE, "git+https://git.example/r|name", version="main"),
            {"src": "https://git.example/r", "scm": "git", "name": "name", "version": "main"},
        ),
        (
            Artifact(ArtifactKind.ROLE, "https://example/r.tar.gz", name="r"),
            {"src": "https://example/r.tar.gz", "name": "r"},
        ),
        (
            Artifact(ArtifactKind.COLLECTION, "ansible.posix", version="2.0.0"),
            {"name": "ansible.posix", "type": "galaxy", "version": "2.0.0"},
        ),
        (
            Artifact(ArtifactKind.COLLECTION, "git+https://git.example/c"),
            {"name": "https://git.example/c", "type": "git"},
        ),
        (
            Artifact(ArtifactKind.COLLECTION, "https://example/c.tar.gz"),
            {"name": "https://example/c.tar.gz", "type": "url"},
        ),
    ],
)
def test_artifacts_become_requirements(artifact: Artifact, entry: dict[str, str]) -> None:
    assert requirement(artifact) == entry


def _galaxy(folder: Path, body: str) -> str:
    """Write a program in the place of `ansible-galaxy`; return that of `ansible-playbook`."""
    program = folder / "ansible-galaxy"
    program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/calls\n{body}\n', encoding="utf-8")
    program.chmod(0o755)
    return str(folder / "ansible-playbook")


def test_nothing_required_runs_nothing(tmp_path: Path) -> None:
    assert install((), program="/absent/ansible-playbook", cache_dir=tmp_path, offline=False) == Installed()


def test_a_role_is_installed_once(tmp_path: Path) -> None:
    program = _galaxy(tmp_path, 'while [ "$1" != -p ]; do shift; done; mkdir "$2/some.role"')
    role = Artifact(ArtifactKind.ROLE, "some.role")
    first = install((role, role), program=program, cache_dir=tmp_path / "cache", offline=False)
    again = install((role,), program=program, cache_dir=tmp_path / "cache", offline=True)
    assert first == again
    assert [(path / "some.role").is_dir() for path in first.roles] == [True]
    assert len((tmp_path / "calls").read_text().splitlines()) == 1


def test_an_unreachable_galaxy_is_told_from_a_failed_install(tmp_path: Path) -> None:
    role = Artifact(ArtifactKind.ROLE, "some.role")
    unreachable = "echo 'ERROR! Unknown error when attempting to call Galaxy: urlopen error' >&2; exit 1"
    with pytest.raises(Transient, match=r"some\.role.*cannot be reached"):
        install((role,), program=_galaxy(tmp_path, unreachable), cache_dir=tmp_path / "cache", offline=False)
    wrong = "echo 'the role has no version 9' >&2; exit 1"
    with pytest.raises(CommandFailed, match="no version 9"):
        install((role,), program=_galaxy(tmp_path, wrong), cache_dir=tmp_path / "cache", offline=False)


def test_what_is_not_cached_is_refused_offline(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="offline"):
        install((Artifact(ArtifactKind.ROLE, "some.role"),), program="/absent", cache_dir=tmp_path, offline=True)
