#!/usr/bin/python3
"""A stand-in for K3s: no cluster, but the interface that the roles use.

`server` keeps nodes as JSON and hands them out over HTTP, joins another server where its configuration names one,
writes tokens and kubeconfig where K3s writes them, and tells systemd when it is ready. `agent` registers itself.
`kubectl` asks the server of this machine. Every change of a node is a line of events.log on the first server.
"""

import contextlib
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import sys
import threading
import urllib.error
import urllib.request

VERSION = "@VERSION@"
CONFIG = pathlib.Path("/etc/rancher/k3s/config.yaml")
STATE = pathlib.Path("/var/lib/rancher/k3s/server")
PORT = 6443


def settings():
    return dict(re.findall(r"(?m)^([a-z-]+): *'?\"?([^'\"\n]*)", CONFIG.read_text()))


def bare(token):
    return token.rpartition(":")[2].strip()


def write_private(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)


def home():
    """The address of the server that keeps the nodes: the one that ours joined, or ours."""
    return re.sub("^https", "http", settings().get("server", f"http://127.0.0.1:{PORT}"))


def ask(method, path, body=None):
    request = urllib.request.Request(home() + path, method=method, data=json.dumps(body or {}).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"{}")


def join(role):
    token = pathlib.Path(settings()["token-file"]).read_text()
    if not token.startswith("K10") and "server" in settings():
        sys.exit("the token does not name the certificate authority")
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    node = {"name": settings()["node-name"], "version": VERSION, "role": role, "token": bare(token), "boot": boot}
    ask("POST", "/ready", node)


class Nodes(http.server.BaseHTTPRequestHandler):
    lock = threading.Lock()

    def log_message(self, *words):
        pass

    def answer(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def do_GET(self):
        self.handle_one("", "")

    def do_POST(self):
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.handle_one(self.path[1:], said)

    def handle_one(self, action, said):
        with self.lock:
            place = STATE / "nodes.json"
            nodes = json.loads(place.read_text()) if place.exists() else {}
            if not action:
                return self.answer(200, nodes)
            name = said["name"]
            if action == "ready":
                wanted = "token" if said["role"] == "server" else "agent-token"
                if said["token"] != bare((STATE / wanted).read_text()):
                    return self.answer(401, {})
                node = nodes.setdefault(name, {"kind": "Node", "metadata": {"name": name}, "spec": {}})
                node["status"] = {
                    "conditions": [{"type": "Ready", "status": "True"}],
                    "nodeInfo": {"kubeletVersion": said["version"], "bootID": said["boot"]},
                }
            elif name not in nodes:
                return self.answer(404, {})
            elif action == "down":
                nodes[name]["status"]["conditions"][0]["status"] = "Unknown"
            elif action == "delete":
                del nodes[name]
            else:
                nodes[name]["spec"]["unschedulable"] = action == "drain"
            place.write_text(json.dumps(nodes))
            with open(STATE / "events.log", "a") as log:
                log.write(f"{action} {name}{' ' + said['version'] if action == 'ready' else ''}\n")
            return self.answer(200, {})


def serve():
    own = settings()
    STATE.mkdir(parents=True, exist_ok=True)
    for name, user in (("token", "server"), ("agent-token", "node")):
        secret = bare(pathlib.Path(own["token-file" if name == "token" else "agent-token-file"]).read_text())
        write_private(STATE / name, f"K10{'0' * 64}::{user}:{secret}\n")
    write_private(CONFIG.parent / "k3s.yaml", "clusters: [{cluster: {server: 'https://127.0.0.1:6443'}}]\n")
    httpd = http.server.ThreadingHTTPServer(("0.0.0.0", PORT), Nodes)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()


def run(role):
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if role == "server":
        serve()
    join(role)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    stop.wait()
    with contextlib.suppress(urllib.error.URLError, FileNotFoundError):  # its server is gone, or it was deleted
        ask("POST", "/down", {"name": settings()["node-name"]})


def kubectl(words):
    action, *rest = [word for word in words if not word.startswith("-")]
    try:
        if action == "get":
            nodes = ask("GET", "/")
            names = rest[1:]
            if names and names[0] not in nodes:
                sys.exit(f'Error from server (NotFound): nodes "{names[0]}" not found')
            print(json.dumps(nodes[names[0]] if names else {"items": list(nodes.values())}))
        else:
            name = rest[-1]
            ask("POST", f"/{action}", {"name": name})
            print(f'node "{name}" {action}d' if action == "delete" else f"node/{name} {action}ed")
    except urllib.error.HTTPError as error:
        if error.code != 404 or "--ignore-not-found" not in words:
            sys.exit(f"Error from server: {error}")
    except urllib.error.URLError as error:
        sys.exit(f"The connection to the server was refused: {error}")


def main(words):
    if words == ["--version"]:
        print(f"k3s version {VERSION} (00000000)\ngo version go1.26.8")
    elif words[0] in ("server", "agent"):
        run(words[0])
    elif words[0] == "kubectl":
        kubectl(words[1:])
    else:
        sys.exit(f"unknown command {words}")


main(sys.argv[1:])
