"""As much of HashiCorp Vault's HTTP interface as a reader of credentials meets: JWT login and a KV store, version 1."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["vault"]


@contextmanager
def vault(secrets: Mapping[str, Mapping[str, str]], jwt: str) -> Iterator[str]:
    """Run one on loopback that knows one JWT; `secrets` maps paths to entries. Gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/v1/auth/jwt/login" or said.get("jwt") != jwt:
                self._answer(400, {"errors": ["error validating token"]})
            else:
                self._answer(200, {"auth": {"client_token": "s.token"}})

        do_PUT = do_POST

        def do_GET(self) -> None:
            entry = secrets.get(self.path.removeprefix("/v1/"))
            if self.headers.get("X-Vault-Token") != "s.token":
                self._answer(403, {"errors": ["permission denied"]})
            elif entry is None:
                self._answer(404, {"errors": []})
            else:
                self._answer(200, {"data": entry})

        def _answer(self, status: int, shape: object) -> None:
            body = json.dumps(shape).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="vault", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
