#!/usr/bin/python3
"""A stand-in for kubeadm, kubelet, kubectl and the API server, told apart by its name: what the role uses of them.

Nodes are JSON on the machine that ran `kubeadm init`, handed out over HTTP; every change is a line of events.log.
"""

import contextlib
import http.server
import json
import pathlib
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

VERSION = "@VERSION@"
ETC = pathlib.Path("/etc/kubernetes")
STATE = pathlib.Path("/var/lib/etcd")
CA = "sha256:" + "1" * 64


def ask(action, body):
    url = (ETC / "kubelet.conf").read_text().split()[0]
    request = urllib.request.Request(f"{url}/{action}", method="POST", data=json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


class Api(http.server.BaseHTTPRequestHandler):
    lock = threading.Lock()

    def log_message(self, *words):
        pass

    def do_POST(self):
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.lock:
            status, body = self.change(self.path[1:], said)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def change(self, action, said):
        place = STATE / "state.json"
        state = json.loads(place.read_text()) if place.exists() else {"nodes": {}, "tokens": []}
        nodes, name = state["nodes"], said.get("name", "")
        if action == "get":
            return 200, nodes
        if action == "token":
            state["tokens"].append(said["token"])
        elif action == "join" and said["token"] not in state["tokens"]:
            return 401, {}
        elif action == "ready":
            first = {"metadata": {"name": name, "labels": said["labels"]}, "spec": {"taints": said["taints"]}}
            node = nodes.setdefault(name, first)
            node["status"] = {
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {"kubeletVersion": said["version"]},
            }
        elif action in ("drain", "uncordon", "delete", "down") and name not in nodes:
            return 404, {}
        elif action == "drain" and (STATE / "full").exists():
            return 429, {}
        elif action == "delete":
            del nodes[name]
        place.write_text(json.dumps(state))
        if action not in ("token", "join"):
            with open(STATE / "events.log", "a") as log:
                log.write(" ".join([action, name, *([said["version"]] if "version" in said else [])]) + "\n")
        return 200, {}


def name_here():
    return json.loads((ETC / "node").read_text())["name"]


def wait_for(address):
    for _ in range(100):
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection((address, 6443)):
            return
        time.sleep(0.1)
    sys.exit("error: the API server does not answer")


def enter(url, config):
    """Become a node: what kubeadm leaves for the kubelet."""
    labels = re.search(r"name: node-labels\s+value: (\S*)", config)[1].strip("'")
    taints = re.findall(r"effect: (\S+)\s+key: (\S+)\s+value: (\S+)", config)
    node = {
        "name": re.search(r"(?m)^  +name: (\S+)", config)[1],
        "labels": dict(one.split("=") for one in labels.split(",") if one),
        "taints": [{"effect": effect, "key": key, "value": value} for effect, key, value in taints],
    }
    (ETC / "node").write_text(json.dumps(node))
    (ETC / "kubelet.conf").write_text(f"{url}\n")
    subprocess.run(["systemctl", "restart", "kubelet"], check=True)


def write_credentials(address):
    (ETC / "admin.conf").touch(mode=0o600)
    (ETC / "admin.conf").write_text(f"clusters: [{{cluster: {{server: 'https://{address}:6443'}}}}]\n")


def kubeadm(words):
    config = next((pathlib.Path(w.partition("=")[2]).read_text() for w in words if w.startswith("--config=")), "")
    if words[0] == "version":
        print(f"v{VERSION}")
    elif words[:3] == ["config", "images", "list"]:
        registry = words[3].partition("=")[2]
        print(f"{registry}/kube-apiserver:v{VERSION}\n{registry}/pause:3.10.1")
    elif words[:3] == ["init", "phase", "upload-certs"]:
        print("[upload-certs] Using certificate key:\n" + "2" * 64)
    elif words[0] == "init":
        STATE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["systemd-run", "--unit=kube-api", "/usr/bin/kubeadm", "stand-in-api"], check=True)
        address = re.search(r"advertiseAddress: (\S+)", config)[1]
        write_credentials(address)
        wait_for(address)
        enter(f"http://{address}:6443", config)
    elif words[0] == "token":
        token = f"{secrets.token_hex(3)}.{secrets.token_hex(8)}"
        ask("token", {"token": token})
        address = (ETC / "kubelet.conf").read_text().split("//")[1].strip()
        print(f"kubeadm join {address} --token {token} --discovery-token-ca-cert-hash {CA} ")
    elif words[0] == "join":
        if CA not in config or ("controlPlane:" in config and "2" * 64 not in config):
            sys.exit("error: no CA hash or no certificate key")
        url = "http://" + re.search(r"apiServerEndpoint: (\S+)", config)[1]
        (ETC / "kubelet.conf").write_text(url)
        ask("join", {"token": re.search(r"token: (\S+)", config)[1]})
        if "controlPlane:" in config:
            write_credentials(url.split("/")[2].split(":")[0])
        enter(url, config)
    elif words[0] == "upgrade":
        ask("upgrade", {"name": name_here(), "version": words[-1] if words[1] == "apply" else "node"})
    elif words[0] == "reset":
        subprocess.run(["systemctl", "stop", "kubelet"], check=True)
        for left in ("kubelet.conf", "admin.conf", "node", "network.done"):
            (ETC / left).unlink(missing_ok=True)
    elif words == ["stand-in-api"]:
        http.server.ThreadingHTTPServer(("0.0.0.0", 6443), Api).serve_forever()
    else:
        sys.exit(f"unknown command {words}")


def kubelet(words):
    if words == ["--version"]:
        print(f"Kubernetes v{VERSION}")
        return
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if (ETC / "node").exists():
        ask("ready", {**json.loads((ETC / "node").read_text()), "version": f"v{VERSION}"})
    stop.wait()
    if (ETC / "node").exists():
        with contextlib.suppress(urllib.error.URLError):
            ask("down", {"name": name_here()})


def kubectl(words):
    action, *rest = [word for word in words if not word.startswith("-")]
    try:
        if action == "get":
            nodes = ask("get", {})
            if rest[1:] and rest[1] not in nodes:
                sys.exit(f'Error from server (NotFound): nodes "{rest[1]}" not found')
            print(json.dumps(nodes[rest[1]] if rest[1:] else {"items": list(nodes.values())}))
        elif action == "apply":
            print("configmap/network unchanged" if (ETC / "network.done").exists() else "configmap/network created")
            (ETC / "network.done").touch()
        else:
            ask(action, {"name": rest[-1]})
            print(f"node/{rest[-1]} {action}d")
    except urllib.error.HTTPError as error:
        if error.code != 404 or "--ignore-not-found" not in words:
            sys.exit(f"Error from server: {error}")


PROGRAM = pathlib.Path(sys.argv[0]).name
{"kubeadm": kubeadm, "kubectl": kubectl, "kubelet": kubelet}[PROGRAM](sys.argv[1:])
