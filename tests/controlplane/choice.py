"""Which control plane the tests use, and how they say so.

IM_CLUES_CONTROLPLANE=real: the real one, and tests fail where it cannot be had. IM_CLUES_CONTROLPLANE=small: the small
one; a reason may follow a colon. Without it: the real one, or else the small one.
"""

import os
import warnings
from pathlib import Path

import pytest

from tests.controlplane.plane import Plane
from tests.controlplane.programs import build, find, version

VARIABLE = "IM_CLUES_CONTROLPLANE"
SMALL = "fallback, the small one of tests/controlplane/small"


def asked() -> tuple[str, str]:
    """Return what the variable says, and why.

    Raises:
        pytest.UsageError: it says something else.
    """
    word, _, why = os.environ.get(VARIABLE, "").partition(":")
    if word not in {"", "real", "small"}:
        raise pytest.UsageError(f"{VARIABLE} must be real or small, not {word!r}")
    return word, why.strip() or f"{VARIABLE}={word}"


def header() -> str:
    """Return the line for pytest's header. Builds nothing."""
    word, why = asked()
    if word == "small":
        return f"control plane: {SMALL}, because: {why}"
    found = find()
    if found is not None:
        return f"control plane: real, Kubernetes {version(found)}, {found.origin}"
    rest = "tests fail where that fails" if word == "real" else f"where that fails: {SMALL}"
    return f"control plane: real, to be built with Go (minutes) by the first test that needs it; {rest}"


def make(folder: Path) -> Plane:
    """Return the control plane, not started; the real one is built first where it has to be."""
    from tests.controlplane.rig import ControlPlane
    from tests.controlplane.small.plane import SmallPlane

    word, _ = asked()
    if word == "small":
        return SmallPlane(folder)
    try:
        return ControlPlane(folder, build())
    except RuntimeError as error:
        if word == "real":
            pytest.fail(f"no Kubernetes control plane can be had: {error}")
        warnings.warn(f"control plane: {SMALL}, because no real one can be had: {error}", stacklevel=1)
        return SmallPlane(folder)
