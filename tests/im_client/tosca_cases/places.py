"""Where the cases of these tests are; the shared ones are read where they stand and absent in a fresh clone."""

import os
from pathlib import Path

import pytest

CONTENT = Path(__file__).resolve().parents[3]
"""The root of the checkout: templates and playbooks lie below it."""
GOLDEN = CONTENT / "tests" / "golden"


def catalogue() -> Path:
    """Return the folder of the catalogue's cases, or skip the test."""
    folder = Path(os.environ.get("IMCLUES_SHARED") or CONTENT.parent / "shared") / "cases" / "tosca"
    if not folder.is_dir():
        pytest.skip(f"the catalogue's cases are not at {folder} (set IMCLUES_SHARED)")
    return folder
