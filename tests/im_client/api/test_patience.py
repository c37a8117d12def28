"""Connections that say nothing, or too slowly."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from im_client.api.patience import patient

HEAD = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
HEAD_S = 0.1


@pytest.fixture
def released() -> threading.Event:
    return threading.Event()


@pytest.fixture
def port(released: threading.Event) -> Iterator[int]:
    """Serve an application that reads no body, and answers at once, or to `/late` when it is released."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/late":
            await asyncio.get_running_loop().run_in_executor(None, released.wait, 10)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, http=patient(HEAD_S), lifespan="off", log_config=None, ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            released.set()
            server.should_exit = True
            thread.join(10)


def answered(client: socket.socket) -> bool:
    """Read one answer, which ends with `ok`."""
    said = b""
    while not said.endswith(b"\r\n\r\nok"):
        more = client.recv(1000)
        if not more:
            return False
        said += more
    return said.startswith(b"HTTP/1.1 200")


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nX: "])
def test_a_connection_without_a_whole_head_is_closed(port: int, said: bytes) -> None:
    with connect(port) as client:
        client.sendall(said)
        assert client.recv(100) == b""


def test_a_second_head_that_comes_by_drops_is_closed(port: int) -> None:
    with connect(port) as client:
        client.sendall(HEAD)
        assert answered(client)
        client.sendall(b"GET ")
        assert client.recv(100) == b""


def test_a_body_that_nobody_reads_is_not_waited_for(port: int) -> None:
    with connect(port) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nx")
        said = b""
        while more := client.recv(1000):
            said += more
        assert said.startswith(b"HTTP/1.1 200")


def test_an_answer_may_take_longer(port: int, released: threading.Event) -> None:
    with connect(port) as client, connect(port) as other:
        client.sendall(b"GET /late HTTP/1.1\r\nHost: h\r\n\r\n")
        assert other.recv(100) == b""  # was there as long
        released.set()
        assert answered(client)
        client.sendall(HEAD)
        assert answered(client)
