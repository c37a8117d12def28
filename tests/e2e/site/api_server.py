"""As much of a Kubernetes API server as an empty cluster needs: lists without items, and watches that say nothing."""

import http.server
import json
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        watches = "watch=" in self.path
        body = (
            b"" if watches else json.dumps({"kind": "List", "metadata": {"resourceVersion": "1"}, "items": []}).encode()
        )
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header(*(("Transfer-Encoding", "chunked") if watches else ("Content-Length", str(len(body)))))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        if watches:
            time.sleep(600)

    def log_message(self, *_words: object) -> None:
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", 8001), Handler).serve_forever()
