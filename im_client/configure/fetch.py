"""Artifacts by https, kept in the cache."""

import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from im_client.topology.model import Artifact
from infracore.errors import Misconfigured, NotFound, Transient, Unauthorised

__all__ = ["local_file"]

_LIMIT_BYTES = 16 * 1024 * 1024


def local_file(artifact: Artifact, cache_dir: Path, *, offline: bool, timeout_s: float = 30.0) -> Path:
    """Return a file with the artifact's text: itself where it is local, else from the cache, else fetched.

    An artifact with a checksum is fetched once. One without is fetched in every run, and the cached copy
    serves where the server cannot be reached.

    Raises:
        Misconfigured: no such file; offline and not cached; another checksum; neither a path nor https.
        Transient: the server cannot be reached and nothing is cached.
        NotFound, Unauthorised: the server says so.
    """
    location = artifact.location
    if location.startswith("https://"):
        return _cached(artifact, cache_dir, offline, timeout_s)
    if "://" in location:
        raise Misconfigured(f"{location}: an artifact is a file or an https URL")
    path = Path(location)
    if not path.is_file():
        raise Misconfigured(f"the artifact {location} is not a file", "correct its path in the template")
    _check(artifact, path.read_bytes()) if artifact.sha256 else None
    return path


def _cached(artifact: Artifact, cache_dir: Path, offline: bool, timeout_s: float) -> Path:
    url = artifact.location
    name = PurePosixPath(urlsplit(url).path).name or "artifact"
    folder = cache_dir / "artifacts" / hashlib.sha256(url.encode()).hexdigest()[:24]
    path = folder / name
    if path.is_file() and (offline or (artifact.sha256 and _digest(path.read_bytes()) == artifact.sha256.lower())):
        _check(artifact, path.read_bytes())
        return path
    if offline:
        raise Misconfigured(f"{url} is not in the cache {folder} and offline is set", "run once without offline")
    try:
        data = _download(url, timeout_s)
    except Transient:
        if path.is_file() and not artifact.sha256:
            return path
        raise
    _check(artifact, data)
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".{name}.{os.getpid()}"
    fresh.write_bytes(data)
    fresh.replace(path)
    return path


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirections to https alone."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]  # noqa: PLR0917 - urllib calls it so
        if not newurl.startswith("https://"):
            raise Misconfigured(f"{req.full_url} leads to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _download(url: str, timeout_s: float) -> bytes:
    opener = urllib.request.build_opener(_HttpsOnly)
    try:
        with opener.open(url, timeout=timeout_s) as answer:
            data: bytes = answer.read(_LIMIT_BYTES + 1)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403):
            raise Unauthorised(f"{url}: the server refuses it ({error.code})") from error
        if error.code in (404, 410):
            raise NotFound(f"{url}: the server has no such file ({error.code})") from error
        raise Transient(f"{url}: the server answers {error.code}") from error
    except (OSError, urllib.error.URLError) as error:
        raise Transient(f"{url} cannot be fetched: {error}", "is there a network, a proxy (https_proxy)?") from error
    if len(data) > _LIMIT_BYTES:
        raise Misconfigured(f"{url} is larger than {_LIMIT_BYTES >> 20} MiB: this is no playbook")
    return data


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _check(artifact: Artifact, data: bytes) -> None:
    if artifact.sha256 and _digest(data) != artifact.sha256.lower():
        raise Misconfigured(
            f"{artifact.location} has the SHA-256 {_digest(data)}, the template says {artifact.sha256}",
            "the file was changed: examine it, then correct the checksum",
        )
