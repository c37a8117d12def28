"""Roles and collections that artifacts require, installed once into the cache by `ansible-galaxy`."""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from im_client.topology.model import Artifact, ArtifactKind
from infracore.errors import CommandFailed, Misconfigured, Transient
from infracore.process import run

__all__ = ["Installed", "install", "requirement"]

_TIMEOUT_S = 300.0
_OFFLINE_MARKS = (
    "failed to connect",
    "could not resolve",
    "name or service not known",
    "temporary failure in name resolution",
    "connection refused",
    "network is unreachable",
    "timed out",
    "urlopen error",
    "unknown error when attempting to call galaxy",
    "failed to download the file",
    "unable to access",
)


@dataclass(frozen=True, slots=True)
class Installed:
    """Folders for Ansible's search paths."""

    roles: tuple[Path, ...] = ()
    collections: tuple[Path, ...] = ()


def requirement(artifact: Artifact) -> dict[str, str]:
    """Return an artifact as an entry of a requirements file.

    A location is a Galaxy name, `git+https://...` or the URL of a tar file; `|name` behind it names a role, as
    RADL of the Infrastructure Manager has it. One version may stand behind a comma.
    """
    location, _, name = artifact.location.partition("|")
    location, _, version = location.partition(",")
    version = artifact.version or version
    entry: dict[str, str] = {}
    if artifact.kind is ArtifactKind.ROLE:
        entry["src"] = location.removeprefix("git+")
        if location.startswith("git+"):
            entry["scm"] = "git"
        if artifact.name or name:
            entry["name"] = artifact.name or name
    else:
        entry["name"] = location.removeprefix("git+")
        entry["type"] = "git" if location.startswith("git+") else "url" if "://" in location else "galaxy"
    if version:
        entry["version"] = version
    return entry


def install(required: Iterable[Artifact], *, program: str, cache_dir: Path, offline: bool) -> Installed:
    """Install what is not in the cache yet; return where all of it is. Nothing required: nothing is run.

    Blocks for as long as downloads take, 300 s at most for each. Two processes do not install the same twice.

    Raises:
        Transient: the Galaxy server or the repository cannot be reached.
        CommandFailed: `ansible-galaxy` failed otherwise.
        Misconfigured: offline and not cached, or `ansible-galaxy` is missing.
    """
    roles: list[Path] = []
    collections: list[Path] = []
    for artifact in dict.fromkeys(required):
        if artifact.kind is ArtifactKind.ROLE:
            place = _one(artifact, program, cache_dir, offline)
            roles.append(place)
        elif artifact.kind is ArtifactKind.COLLECTION:
            collections.append(_one(artifact, program, cache_dir, offline))
    return Installed(tuple(roles), tuple(collections))


def _one(artifact: Artifact, program: str, cache_dir: Path, offline: bool) -> Path:
    entry = requirement(artifact)
    local = Path(artifact.location)
    if local.is_absolute() and local.is_dir() and artifact.kind is ArtifactKind.ROLE:
        return local.parent
    kind = artifact.kind.value
    mark = hashlib.sha256(json.dumps([kind, entry], sort_keys=True).encode()).hexdigest()[:24]
    folder = cache_dir / "galaxy" / mark
    if folder.is_dir():
        return folder
    if offline:
        raise Misconfigured(
            f"the {kind} {artifact.location} is not in the cache {folder.parent} and offline is set",
            "run once without offline",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{mark}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _run_galaxy(artifact, entry, program, folder)
    return folder


def _run_galaxy(artifact: Artifact, entry: dict[str, str], program: str, folder: Path) -> None:
    galaxy = Path(program).with_name("ansible-galaxy")
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    kind = artifact.kind.value
    wanted = folder.with_name(folder.name + ".yml")
    wanted.write_text(yaml.safe_dump({f"{kind}s": [entry]}), encoding="utf-8")
    argv: list[str | Path] = [galaxy, kind, "install", "-r", wanted, "-p", fresh]
    done = run(argv, timeout_s=_TIMEOUT_S, env={"ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}, check=False)
    said = f"{done.stdout}\n{done.stderr}".strip()
    if done.status == 0 and any(fresh.iterdir()):
        fresh.rename(folder)
        return
    shutil.rmtree(fresh, ignore_errors=True)
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "it said nothing")
    if any(mark in said.lower() for mark in _OFFLINE_MARKS):
        raise Transient(
            f"the {kind} {artifact.location} cannot be installed: its server cannot be reached ({last})",
            "check the network, or install it where there is one and copy the cache folder galaxy/",
        )
    raise CommandFailed(f"the {kind} {artifact.location} cannot be installed: {last}", status=done.status, stderr=said)
