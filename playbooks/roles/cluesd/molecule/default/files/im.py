#!/usr/bin/python3
"""A stand-in for the Infrastructure Manager: one infrastructure without machines, for one token. im.py TOKEN."""

import http.server
import json
import sys


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = {"/infrastructures/inf-1/state": {"state": {"state": "configured", "vm_states": {}}}}
        right = self.headers["Authorization"] == f"type = InfrastructureManager; token = {sys.argv[1]}"
        status = 401 if not right else 200 if self.path in known else 404
        print(status, self.headers["User-Agent"], flush=True)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(known.get(self.path, {}) if status == 200 else {"code": status}).encode())


http.server.ThreadingHTTPServer(("127.0.0.1", 8800), Answers).serve_forever()
