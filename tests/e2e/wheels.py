"""Wheels of the checkout and of all that it needs, for a machine that has no way out."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from infracore.process import run

__all__ = ["make_wheels"]

ROOT = Path(__file__).resolve().parents[2]


def make_wheels(folder: Path, requirements: Sequence[str] = ("run",)) -> Path:
    """Make wheels for the Python that the machine has: this computer's. Returns their folder."""
    source, wheels = folder / "source", folder / "wheels"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("infracore", "im_client", "clues", "requirements"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    make = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", "/usr/bin/python3"]
    make += ["wheel", "--no-deps", "--wheel-dir", str(wheels)]
    named = [word for name in requirements for word in ("-r", f"requirements/{name}.txt")]
    run([*make, "--require-hashes", *named], timeout_s=300, cwd=source)
    build = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "wheel", "--no-deps"]
    run([*build, "--no-build-isolation", "--wheel-dir", str(wheels), "."], timeout_s=120, cwd=source)
    return wheels
