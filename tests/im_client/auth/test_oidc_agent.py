"""oidc-agent's socket: an agent that answers as the real one does (4.2.6), and things that are none."""

import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from im_client.auth.oidc_agent import ask_agent
from infracore.errors import Misconfigured, TimedOut, Unauthorised
from infracore.secrets import Secret
from tests.rigs.egi import CLIENT, egi
from tests.rigs.process import daemon, wait_until


@contextmanager
def agent(path: Path, answer: Callable[[dict[str, Any]], bytes | None]) -> Iterator[list[dict[str, Any]]]:
    """Answer each connection and close it; None: never."""
    asked: list[dict[str, Any]] = []
    held: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                asked.append(json.loads(connection.recv(65536)))
                said = answer(asked[-1])
                if said is None:
                    held.append(connection)
                    continue
                connection.sendall(said)
                connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield asked
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in held:
            connection.close()


def ask(path: Path, account: str = "egi", limit_s: float = 5.0) -> Secret:
    return ask_agent(str(path), account=account, issuer="https://iss.example", least_s=120, limit_s=limit_s)


def test_a_token_is_asked_by_account_or_else_by_issuer(tmp_path: Path) -> None:
    said = {"status": "success", "access_token": "abc", "issuer": "https://iss.example", "expires_at": 1}
    with agent(tmp_path / "a", lambda _: json.dumps(said).encode()) as asked:
        assert ask(tmp_path / "a").reveal() == "abc"
        ask(tmp_path / "a", account="")
    common = {"request": "access_token", "min_valid_period": 120, "application_hint": "im"}
    assert asked == [{**common, "account": "egi"}, {**common, "issuer": "https://iss.example"}]


def test_what_the_agent_refuses_is_said_with_a_way_out(tmp_path: Path) -> None:
    said = b'{"status":"failure","error":"account not loaded"}'
    with agent(tmp_path / "a", lambda _: said), pytest.raises(Unauthorised, match="egi: account not loaded") as caught:
        ask(tmp_path / "a")
    assert caught.value.hint == "run: oidc-add egi"


@pytest.mark.parametrize("answer", [b"", b"12:abc:def", b"[]", b'{"status": 3}'])
def test_what_is_no_agent_is_named(answer: bytes, tmp_path: Path) -> None:
    with agent(tmp_path / "a", lambda _: answer), pytest.raises(Misconfigured, match="no oidc-agent"):
        ask(tmp_path / "a")


def test_an_agent_that_is_not_there_or_hangs_is_waited_for_in_vain_and_not_long(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="does not answer"):
        ask(tmp_path / "none")
    with agent(tmp_path / "a", lambda _: None), pytest.raises(TimedOut):
        ask(tmp_path / "a", limit_s=0.05)


@pytest.mark.oidc_agent
def test_the_real_agent_hands_out_a_token_that_it_asks_of_the_issuer(tmp_path: Path) -> None:
    (tmp_path / ".oidc-agent").mkdir()
    socket_path, env = tmp_path / "a", {"HOME": str(tmp_path), "OIDC_SOCK": str(tmp_path / "a")}
    argv = ["oidc-agent", "--console", "--no-autoload", "-a", str(socket_path)]
    with egi() as services, daemon(argv, tmp_path, env=env):
        services.rotates = False
        wait_until(socket_path.exists, "the agent listens")
        with pytest.raises(Unauthorised, match="account not loaded"):
            ask(socket_path)
        issuer = f"{services.issuer.url}/"
        words = ["--issuer", issuer, "--client-id", CLIENT, "--client-secret", "none", "--scope", "openid"]
        words += ["--redirect-uri", "http://localhost:4242", "--flow", "refresh", "--rt", "first-refresh-token"]
        account = ["oidc-gen", "egi", "-m", *words, "--pw-cmd", "echo password", "--prompt=none"]
        made = subprocess.run(
            account, env={**os.environ, **env}, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False
        )
        assert made.returncode == 0, made.stdout + made.stderr
        for by in ("egi", ""):
            token = ask_agent(str(socket_path), account=by, issuer=issuer, least_s=60, limit_s=5)
            assert services.claims(f"Bearer {token.reveal()}") is not None
