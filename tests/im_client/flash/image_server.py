"""An HTTP server on loopback that gives parts of files, and breaks off where it is told to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What it serves, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    etag: str = '"one"'
    ranges: bool = True
    break_after: int | None = None
    """Bytes after which a connection is cut."""
    breaks: int = 0
    """How many connections are cut."""
    most: int | None = None
    """Bytes that a part has at most, however many are asked for."""
    status: int | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and Range of every request."""
    held: threading.Event | None = None
    """Half of an answer waits for it."""
    holding: threading.Event = field(default_factory=threading.Event)
    url: str = ""


@contextmanager
def serve(site: Site) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            self.close_connection = True
            wanted = self.headers.get("Range", "")
            site.asked.append((self.path, wanted))
            if self.path in site.redirects:
                return self._end(302, {"Location": site.redirects[self.path]})
            if site.status is not None or self.path not in site.files:
                return self._end(site.status or 404, {})
            content = site.files[self.path]
            if site.etag and self.headers.get("If-None-Match") == site.etag:
                return self._end(304, {})
            headers = {"ETag": site.etag} if site.etag else {}
            same = self.headers.get("If-Range", site.etag) == site.etag
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and site.ranges and same else 0
            if start and start >= len(content):
                return self._end(416, {})
            length = min(len(content) - start, (site.most if start else None) or 1 << 60)
            if start:
                headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{len(content)}"
            self.send_response(206 if start else 200)
            for name, value in {**headers, "Content-Length": str(length)}.items():
                self.send_header(name, value)
            self.end_headers()
            rest = content[start : start + length]
            if site.break_after is not None and site.breaks > 0:
                site.breaks -= 1
                self.wfile.write(rest[: site.break_after])
                return None
            if site.held is not None:
                self.wfile.write(rest[: len(rest) // 2])
                self.wfile.flush()
                site.holding.set()
                site.held.wait(30)
                rest = rest[len(rest) // 2 :]
            self.wfile.write(rest)
            return None

        def _end(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] - a client that leaves is what is tested
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="image-server")
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        if site.held is not None:
            site.held.set()
        server.shutdown()
        thread.join()
        server.server_close()
