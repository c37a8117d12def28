"""Reading templates, imports and playbooks for the front ends, and the inputs that a user gives."""

import hashlib
import os
import re
import secrets
import stat
import string
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import yaml

from im_client.template.analysis import InputDefinition, Reader
from im_client.topology.values import Value
from im_client.tosca.locations import SENT
from infracore.errors import InfraError, InvalidUsage, Misconfigured, NotFound, Transient, Unauthorised
from infracore.yaml_text import load_yaml

__all__ = ["FileReader", "Said", "StoredReader", "absolute", "parse_inputs", "settle"]

MAX_FILE_BYTES: Final = 32 * 2**20
"""A template is some kilobytes; CSAR archives with artifacts are larger."""
FETCH_TIMEOUT_S: Final = 20.0
_RANDOM_LETTERS: Final = string.ascii_letters + string.digits


def absolute(location: str, cwd: Path) -> str:
    """Make a template's name independent of the folder: https addresses stay, paths become absolute."""
    if location.startswith(("https://", "http://")):
        return location
    return str(Path(os.path.normpath(cwd / Path(location).expanduser())))


class _StayWithTls(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https addresses only."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]  # noqa: PLR0917
        if not newurl.startswith("https://"):
            raise urllib.error.URLError(f"it redirects to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class FileReader:
    """Reads local files, and https addresses through a cache on disk. One object serves one command.

    What is in the cache is not asked for again, so that a template means the same tomorrow;
    `refresh` fetches anew. With `offline` nothing is fetched.
    """

    def __init__(self, cache_dir: Path, *, offline: bool = False, refresh: bool = False) -> None:
        self._cache = cache_dir / "imports"
        self._offline = offline
        self._refresh = refresh
        self._digests: dict[str, str] = {}

    def read(self, location: str, /) -> bytes:
        """Return the bytes of an absolute path or https address; see `template.analysis.Reader`."""
        if location.startswith(SENT):
            raise NotFound(f"{location.rsplit('/', 1)[-1]} was not sent with the template")
        if location.startswith("https://"):
            return self._fetch(location)
        if "://" in location:
            raise Misconfigured(f"{location}: only https addresses are fetched", "use https, or a local copy")
        try:
            with Path(location).open("rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise Misconfigured(f"{location} is not a regular file")
                text = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError as error:
            raise NotFound(f"there is no file {location}", "check the path") from error
        except IsADirectoryError as error:
            raise Misconfigured(f"{location} is a folder, not a template") from error
        except PermissionError as error:
            raise Unauthorised(f"no permission to read {location}") from error
        except (OSError, ValueError) as error:
            raise Misconfigured(f"cannot read {location!r}: {error}") from error
        if len(text) > MAX_FILE_BYTES:
            raise Misconfigured(f"{location} is larger than {MAX_FILE_BYTES >> 20} MiB")
        return text

    def digest(self, location: str, /) -> str:
        """Return the SHA-256 of a playbook with the roles beside it that it names, or "" if it cannot be read.

        An https address counts by what is cached of it.
        """
        known = self._digests.get(location)
        if known is None:
            known = self._digests[location] = self._digest(location)
        return known

    def _digest(self, location: str) -> str:
        if location.startswith("https://"):
            cached = self._cached(location)
            return hashlib.sha256(cached.read_bytes()).hexdigest() if cached.is_file() else ""
        try:
            text = self.read(location)
        except InfraError:
            return ""
        whole = hashlib.sha256(text)
        for part in _roles_text(Path(location).parent / "roles", text):
            whole.update(part)
        return whole.hexdigest()

    def _cached(self, url: str) -> Path:
        return self._cache / hashlib.sha256(url.encode()).hexdigest()

    def _fetch(self, url: str) -> bytes:
        cached = self._cached(url)
        if cached.is_file() and not self._refresh:
            return cached.read_bytes()
        if self._offline:
            raise NotFound(f"{url} is not in the cache, and fetching is off (offline)")
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "im-clues"})  # noqa: S310 (https only)
            with urllib.request.build_opener(_StayWithTls).open(request, timeout=FETCH_TIMEOUT_S) as answer:
                text: bytes = answer.read(MAX_FILE_BYTES + 1)
        except urllib.error.HTTPError as error:
            kind = {401: Unauthorised, 403: Unauthorised, 404: NotFound, 410: NotFound}.get(error.code, Transient)
            raise kind(f"{url}: the server answered {error.code} {error.reason}") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Transient(f"cannot fetch {url}: {reason}", "check the network, or use a local copy") from error
        if len(text) > MAX_FILE_BYTES:
            raise Misconfigured(f"{url} is larger than {MAX_FILE_BYTES >> 20} MiB")
        self._cache.mkdir(parents=True, exist_ok=True)
        fresh = cached.with_name(f".{cached.name}.{os.getpid()}")
        fresh.write_bytes(text)
        fresh.replace(cached)
        return text


def _roles_text(roles: Path, playbook: bytes) -> list[bytes]:
    """Return the contents of all roles in a folder that a playbook, or one of these roles, names."""
    if not roles.is_dir():
        return []
    left = {folder.name: folder for folder in sorted(roles.iterdir()) if folder.is_dir()}
    parts: list[bytes] = []
    queue = [playbook]
    while queue and left:
        words = {word.decode() for word in re.findall(rb"[A-Za-z0-9_]+", queue.pop())}
        for name in sorted(words & left.keys()):
            folder = left.pop(name)
            for file in sorted(folder.rglob("*")):
                inside = file.relative_to(folder)
                if file.is_file() and inside.parts[0] != "molecule" and file.suffix != ".md":
                    text = file.read_bytes()
                    parts.append(f"{name}/{inside}\0".encode() + text)
                    if file.suffix in {".yml", ".yaml"}:
                        queue.append(text)
    return parts


class StoredReader:
    """Reads the files that are recorded with an infrastructure, and others from where they are."""

    def __init__(self, files: Mapping[str, str], beyond: Reader) -> None:
        self._files = files
        self._beyond = beyond

    def read(self, location: str, /) -> bytes:
        """Return the recorded text, else what `beyond` reads."""
        text = self._files.get(location)
        return text.encode() if text is not None else self._beyond.read(location)

    def digest(self, location: str, /) -> str:
        """Return the digest of the file as it is now: playbooks are not recorded."""
        return self._beyond.digest(location)


def parse_inputs(pairs: Sequence[str], files: Sequence[Path] = ()) -> Mapping[str, Value]:
    """Read `name=value` words and YAML files of inputs; words win over files, later over earlier.

    The words come as `Said`; `settle` gives them their meaning once the template's inputs are known.

    Raises:
        InvalidUsage: a word without `=`, a file that is not a mapping of names to values.
    """
    inputs: dict[str, Value] = {}
    for path in files:
        try:
            said = yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
        except OSError as error:
            raise InvalidUsage(f"cannot read the inputs file {path}: {error.strerror}") from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise InvalidUsage(f"the inputs file {path} is not YAML: {' '.join(str(error).split())}") from error
        if not isinstance(said, dict) or not all(isinstance(name, str) for name in said):
            raise InvalidUsage(f"the inputs file {path} is not a mapping of names to values", "write: name: value")
        inputs.update({name: _plain(value) for name, value in said.items()})
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InvalidUsage(f"the input {pair!r} is not NAME=VALUE", "example: -i worker_count=3")
        inputs[name] = Said(text)
    return inputs


class Said(str):
    """A word of the command line: what it means depends on the type of the input (`settle`)."""

    __slots__ = ()


def settle(inputs: Mapping[str, Value], definitions: Mapping[str, InputDefinition]) -> dict[str, Value]:
    """Give the words of the command line their meaning: text for a string, else YAML; then `random(N)` defaults.

    A word with aliases stays text: written out they may be larger than any memory. A random value is made once: the
    caller records the inputs.
    """
    settled: dict[str, Value] = {}
    for name, value in inputs.items():
        definition = definitions.get(name)
        if not isinstance(value, Said):
            settled[name] = value
        elif definition is not None and definition.type == "string":
            settled[name] = str(value)
        else:
            try:
                settled[name] = _plain(load_yaml(str(value))) if value.strip() else str(value)
            except (yaml.YAMLError, ValueError, RecursionError):
                settled[name] = str(value)
    for name, definition in definitions.items():
        if definition.random is not None and settled.get(name) is None:
            settled[name] = "".join(secrets.choice(_RANDOM_LETTERS) for _ in range(definition.random))
    return settled


def _plain(value: object) -> Value:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_plain(item) for item in value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
