"""Removing files from a tree. This file is also sent to machines whose disk nobody else can look into: it needs nothing
but Python 3.6 and its standard library.
"""
# ruff: noqa: UP006, UP035, UP045 - of Python 3.6

import json
import os
import stat
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Iterable, List, NamedTuple, Optional, Sequence, Tuple

__all__ = ["Scrubbed", "main", "scrub_tree_of"]


class Scrubbed(NamedTuple):
    """What was done."""

    removed: Tuple[str, ...]
    """Paths that went, folders as one."""
    private: Tuple[str, ...]
    """Files below /etc, /root, /opt and /srv that only their owner may read and that stay: perhaps a secret."""


class _Tree:
    def __init__(self, patterns: Iterable[str], device: Optional[int]) -> None:
        self.patterns = [pattern.split("/") for pattern in patterns]
        self.device = device
        self.removed: List[str] = []
        self.private: List[str] = []

    def visit(self, folder: str, above: Tuple[str, ...]) -> None:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                self.look(entry, (*above, entry.name))

    def look(self, entry: "os.DirEntry[str]", words: Tuple[str, ...]) -> None:
        path = ("/" + "/".join(words)).encode(errors="replace").decode()  # a name need not be UTF-8
        found = entry.stat(follow_symlinks=False)
        if self.device is not None and found.st_dev != self.device:
            return
        is_folder = entry.is_dir(follow_symlinks=False)
        if any(_is_meant(words, pattern, is_folder=is_folder) for pattern in self.patterns):
            if self.remove(entry.path, is_folder=is_folder):
                self.removed.append(path)
        elif is_folder:
            self.visit(entry.path, words)
        elif words[0] in {"etc", "root", "opt", "srv"} and _is_private(found):
            self.private.append(path)

    def remove(self, path: str, *, is_folder: bool) -> bool:
        """Remove; False where something below is of another file system, which stays with the folders to it."""
        if not is_folder:
            Path(path).unlink()
            return True
        is_empty = True
        with os.scandir(path) as entries:
            for entry in list(entries):
                if self.device is not None and entry.stat(follow_symlinks=False).st_dev != self.device:
                    is_empty = False
                else:
                    is_empty = self.remove(entry.path, is_folder=entry.is_dir(follow_symlinks=False)) and is_empty
        if is_empty:
            Path(path).rmdir()
        return is_empty


def scrub_tree_of(root: str, patterns: Iterable[str], *, one_device: bool = False) -> Scrubbed:
    """Remove what patterns name from a tree, which may be hostile; with `one_device` no other file system.

    No symbolic link is followed: one that leads out of the tree is looked at as the link that it is.
    """
    tree = _Tree(patterns, Path(root).stat().st_dev if one_device else None)
    tree.visit(root, ())
    return Scrubbed(tuple(tree.removed), tuple(tree.private))


def _is_private(found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and not found.st_mode & 0o077 and found.st_size > 0


def _is_meant(words: Sequence[str], pattern: Sequence[str], *, is_folder: bool) -> bool:
    if pattern[-1] == "**":
        parents = pattern[:-1]
        return not is_folder and len(words) > len(parents) and _fits(words[: len(parents)], parents)
    return len(words) == len(pattern) and _fits(words, pattern)


def _fits(words: Sequence[str], pattern: Sequence[str]) -> bool:
    return all(map(_fits_one, words, pattern))


def _fits_one(word: str, part: str) -> bool:
    return word == part or fnmatchcase(word, part)


def main(patterns: Sequence[str], servers: Sequence[str], root: str) -> None:
    """Scrub this machine and print what was done; without patterns only look whether it may be."""
    found = [str(path) for pattern in servers for path in Path(root).glob(pattern)]
    if found:
        sys.stderr.write("it is the server of a cluster, whose state would be lost: " + ", ".join(sorted(found)) + "\n")
        sys.exit(3)
    done = scrub_tree_of(root, patterns, one_device=True) if patterns else Scrubbed((), ())
    print(json.dumps({"removed": len(done.removed), "private": done.private}))  # noqa: T201
