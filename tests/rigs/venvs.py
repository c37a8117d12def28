"""Virtual environments for programs of others, made once in a cache folder outside of the checkout."""

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["environment"]

_INSTALL_S = 900


def environment(name: str, requirements: Path, title: str) -> Path:
    """Return the folder of programs of an environment with these requirements, made where it is not there yet.

    Raises:
        RuntimeError: pip cannot; the text says why.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "im-clues-tests"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(requirements.read_bytes() + version.encode()).hexdigest()[:16]
    venv = cache / f"{name}-{digest}"
    done, python = venv / "complete", venv / "bin" / "python"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs of the tests at once install once
        if not done.exists():
            print(f"installing {title} for the tests (once)", file=sys.stderr, flush=True)
            _run([sys.executable, "-m", "venv", "--clear", venv], title)
            pip: list[str | Path] = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
            _run([*pip, "--require-hashes", "--no-deps", "-r", requirements], title)
            done.touch()
    return venv / "bin"


def _run(argv: Sequence[str | Path], title: str) -> None:
    try:
        subprocess.run(argv, check=True, capture_output=True, text=True, timeout=_INSTALL_S, stdin=subprocess.DEVNULL)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = str(getattr(error, "stderr", "") or error).strip()[-500:]
        raise RuntimeError(f"{title} cannot be installed: {said}") from error
