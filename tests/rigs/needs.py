"""Skipping where the computer cannot."""

import os
import shutil

import pytest

__all__ = ["need_programs", "need_root"]


def need_programs(*programs: str) -> None:
    """Skip the test where one is not installed; daemons stand in /usr/sbin, which is not in everyone's PATH."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [program for program in programs if shutil.which(program, path=path) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def need_root() -> None:
    """Skip the test where we are not root."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
