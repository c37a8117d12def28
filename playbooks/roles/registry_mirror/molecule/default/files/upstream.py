#!/usr/bin/python3
"""A registry with one image, as far as a mirror asks it: hello:latest, whose one layer is a few bytes."""

import hashlib
import http.server
import json

LAYER, CONFIG = b"a layer", b'{"architecture":"arm64","os":"linux"}'
DOCKER = "application/vnd.docker"


def named(blob):
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def described(blob, kind):
    return {"mediaType": kind, "size": len(blob), "digest": named(blob)}


KIND = f"{DOCKER}.distribution.manifest.v2+json"
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": KIND,
        "config": described(CONFIG, f"{DOCKER}.container.image.v1+json"),
        "layers": [described(LAYER, f"{DOCKER}.image.rootfs.diff.tar.gzip")],
    }
).encode()
BLOBS = {f"/v2/hello/blobs/{named(blob)}": (blob, "application/octet-stream") for blob in (LAYER, CONFIG)}
PLACES = {
    "/v2/": (b"{}", "application/json"),
    "/v2/hello/manifests/latest": (MANIFEST, KIND),
    f"/v2/hello/manifests/{named(MANIFEST)}": (MANIFEST, KIND),
    **BLOBS,
}


class Upstream(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body, kind = PLACES.get(self.path, (b"", ""))
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Content-Digest", named(body))
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET


http.server.ThreadingHTTPServer(("127.0.0.1", 9000), Upstream).serve_forever()
