"""What tests ask of a control plane, whichever it is: requests as its administrator, kubeconfigs, faults."""

import base64
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml


class ApiError(Exception):
    """An answer of the API server other than 2xx."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body[:500]}")
        self.status = status


class Plane:
    """One control plane; `start` blocks until pods can be made, `stop` until everything has ended."""

    title = ""
    """Which one it is, for people."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self._ssl: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        raise NotImplementedError

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    # faults

    def kill_apiserver(self) -> None:
        """End the API server at once, as a crash does; what it stored is kept."""
        raise NotImplementedError

    def start_apiserver(self) -> None:
        raise NotImplementedError

    def restart_controllers(self) -> None:
        """Start controllers and scheduler anew: after a long outage they wait up to a minute."""
        raise NotImplementedError

    # requests

    def _trust(self) -> None:
        """Speak as the administrator from now on."""
        pki = self.folder / "pki"
        self._ssl = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._ssl.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    def request(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """Send one request as the administrator and return the decoded answer.

        Raises:
            ApiError: another status than 2xx. OSError: no answer.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": kind}, method=method)
        try:
            with urllib.request.urlopen(request, context=self._ssl, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise ApiError(error.code, error.read().decode(errors="replace")) from error
        return json.loads(text) if text[:1] in {b"{", b"["} else text.decode()

    def create(self, path: str, body: Any) -> Any:
        return self.request("POST", path, body)

    def get(self, path: str) -> Any:
        return self.request("GET", path)

    def items(self, path: str) -> list[Any]:
        return list(self.get(path)["items"])

    def watch(self, path: str, version: str, seconds: int) -> Iterator[tuple[str, Any]]:
        """Yield what happens to the objects of a path from a version on, for so many seconds: (event, object)."""
        query = f"?watch=true&resourceVersion={version}&timeoutSeconds={seconds}&allowWatchBookmarks=true"
        with urllib.request.urlopen(self.url + path + query, context=self._ssl, timeout=seconds + 30) as answer:
            for line in answer:
                event = json.loads(line)
                yield event["type"], event["object"]

    def patch(self, path: str, body: Any) -> Any:
        return self.request("PATCH", path, body, "application/merge-patch+json")

    def delete(self, path: str, body: Any = None) -> Any:
        return self.request("DELETE", path, body)

    def write_kubeconfig(self, path: Path, name: str) -> None:
        pki = self.folder / "pki"

        def b64(file: str) -> str:
            return base64.b64encode((pki / file).read_bytes()).decode()

        user = {"client-certificate-data": b64(f"{name}.crt"), "client-key-data": b64(f"{name}.key")}
        self._write_config(path, name, user)

    def write_token_kubeconfig(self, path: Path, token: str) -> None:
        """Write a kubeconfig for a service account's token (see its `token` subresource)."""
        self._write_config(path, "token", {"token": token})

    def _write_config(self, path: Path, name: str, user: dict[str, str]) -> None:
        authority = base64.b64encode((self.folder / "pki" / "ca.crt").read_bytes()).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority-data": authority}}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
            "current-context": "test",
        }
        path.write_text(yaml.safe_dump(config))
        path.chmod(0o600)
