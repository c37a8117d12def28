"""An API server of nothing but the standard library, for a machine: one node, one pending pod, a token that it wants.

    python3 api_server.py PORT TOKEN

Lists are answered, watches are held open and say nothing, writes are accepted.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_BORN = "2026-01-01T00:00:00Z"
_NODE = {
    "metadata": {"name": "front", "uid": "u-front", "resourceVersion": "1", "creationTimestamp": _BORN},
    "spec": {"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]},
    "status": {
        "allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True"}],
    },
}
_POD = {
    "metadata": {
        "name": "web",
        "namespace": "default",
        "uid": "u-web",
        "resourceVersion": "1",
        "creationTimestamp": _BORN,
    },
    "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]},
    "status": {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
    },
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        query = parse_qs(target.query)
        if not self._is_known():
            self._say(401, {"kind": "Status", "code": 401, "message": "who are you?"})
        elif "sendInitialEvents" in query:
            self._say(422, {"kind": "Status", "code": 422, "message": "a server before streaming lists"})
        elif "watch" in query:
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            threading.Event().wait(float(query.get("timeoutSeconds", ["60"])[0]))
            self.wfile.write(b"0\r\n\r\n")
        else:
            items = {"/api/v1/nodes": [_NODE], "/api/v1/pods": [_POD]}.get(target.path, [])
            if "spec.nodeName!=" in query.get("fieldSelector", [""])[0]:
                items = []
            self._say(200, {"metadata": {"resourceVersion": "1"}, "items": items})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", "0"))) or b"{}")
        self._say(200 if self._is_known() else 401, body)

    do_PATCH = do_PUT = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Keep still."""

    def _is_known(self) -> bool:
        return self.headers.get("authorization", "") == f"Bearer {sys.argv[2]}"

    def _say(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
