"""An ext4 partition of a disk, by debugfs: no mount, no root where the disk may be written (debugfs(8)).

It is not a journalled way of writing: the file system must be clean before, and is checked afterwards.
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from im_client.flash.customise.layout import RootFile
from im_client.flash.customise.memory import memory_folder
from im_client.flash.customise.programs import program
from infracore.errors import CommandFailed, Misconfigured
from infracore.process import run

__all__ = ["Ext4"]

_TIMEOUT_S: Final = 300.0
_SAFE: Final = re.compile(r"/[A-Za-z0-9/._@-]+")
"""Paths are ours; debugfs would read blanks and quotes as its own."""
_MODE: Final = re.compile(r"^Inode: \d+\s+Type: (\S+)\s+Mode:\s+0?(\d+)", re.MULTILINE)
_OWNER: Final = re.compile(r"^User:\s+(\d+)\s+Group:\s+(\d+)", re.MULTILINE)
_LINK: Final = re.compile(r'^Fast link dest: "(.*)"$', re.MULTILINE)


class Ext4:
    """The partition that begins at `offset` (bytes) of a disk or an image file."""

    def __init__(self, disk: Path, offset: int) -> None:
        self._image = f"{disk}?offset={offset}"

    def has(self, paths: Sequence[str]) -> frozenset[str]:
        """Return those of the paths that exist."""
        return frozenset(path for path, said in self._stat(paths).items() if said)

    def read(self, path: str) -> str | None:
        """Return a file's text; None where there is no such file."""
        kind = _MODE.search(self._stat([path])[path])
        return self._read(path) if kind and kind[1] == "regular" else None

    def check(self) -> None:
        """Look whether the file system is whole, changing nothing.

        Raises:
            CommandFailed: it is not.
        """
        done = run([program("e2fsck"), "-f", "-n", self._image], timeout_s=_TIMEOUT_S, check=False, env={"LC_ALL": "C"})
        if done.status != 0 or "needs_recovery" in done.stdout or "skipping journal recovery" in done.stderr:
            said = " ".join(f"{done.stdout} {done.stderr}".split())[-300:]
            raise CommandFailed(f"the root partition is not clean: {said}", "flash the card again")

    def names(self, folder: str) -> frozenset[str]:
        """Return what is in a folder; nothing where there is no such folder."""
        lines = self._ask([f"ls -p {folder}"], [folder]).splitlines()
        return frozenset(line.split("/")[5] for line in lines if line.startswith("/") and line.count("/") >= 6)

    def write(self, files: Sequence[RootFile], removed: Sequence[str] = ()) -> None:
        """Write files and links, in place of those that are there; all are root's. Folders that lack are made.

        `removed` are there and are deleted.

        Raises:
            CommandFailed: what is there afterwards is not what was written.
        """
        with memory_folder() as folder:
            parents = {str(parent) for file in files for parent in PurePosixPath(file.path).parents} - {"/"}
            there = self.has(sorted({*parents, *(file.path for file in files)}))
            script = [f"rm {path}" for path in removed] + _making(sorted(parents - there))
            for number, file in enumerate(files):
                where, _, name = file.path.rpartition("/")
                script.append(f"cd {where}")
                if file.path in there:
                    script.append(f"rm {name}")
                if file.target:
                    script.append(f"symlink {name} {file.target}")
                    continue
                source = folder / str(number)
                source.touch(mode=0o600)
                source.write_bytes(file.text.encode(errors="surrogateescape"))
                script += [f"write {source} {name}", f"sif {name} mode 0{0o100000 | file.mode:o}"]
                script += [f"sif {name} uid 0", f"sif {name} gid 0"]
            self._write(script, folder)
        found = self._stat([file.path for file in files])
        for file in files:
            self._compare(file, found[file.path])

    def _write(self, script: list[str], folder: Path) -> None:
        commands = folder / "commands"
        commands.write_text("\n".join([*script, ""]))
        argv: list[str | Path] = [program("debugfs"), "-w", "-f", commands, self._image]
        done = run(argv, timeout_s=_TIMEOUT_S, env={"LC_ALL": "C"})
        wrong = [line for line in done.stderr.splitlines() if line and not line.startswith("debugfs ")]
        if wrong:
            said = " ".join(wrong).replace(str(folder), "...")[-300:]
            raise CommandFailed(f"cannot write into the root partition: {said}", "flash the card again")

    def _compare(self, file: RootFile, said: str) -> None:
        mode, owner, link = _MODE.search(said), _OWNER.search(said), _LINK.search(said)
        if file.target:
            is_right = link is not None and link[1] == file.target
        else:
            is_right = mode is not None and int(mode[2], 8) == file.mode and self._read(file.path) == file.text
            is_right = is_right and owner is not None and owner.groups() == ("0", "0")
        if not is_right:
            raise CommandFailed(f"{file.path} of the root partition is not what was written", "flash the card again")

    def _stat(self, paths: Sequence[str]) -> dict[str, str]:
        """Return what debugfs says of each path; "" where there is none."""
        said = self._ask([f"stat {path}" for path in paths], paths)
        parts = (part.partition("\n") for part in said.split("debugfs: stat ")[1:])
        return {path: text if text.startswith("Inode:") else "" for path, _, text in parts}

    def _read(self, path: str) -> str:
        with memory_folder() as folder:
            copy = folder / "file"
            self._ask([f"dump {path} {copy}"], [path])
            return copy.read_bytes().decode(errors="surrogateescape")

    def _ask(self, requests: Sequence[str], paths: Sequence[str]) -> str:
        """Return debugfs' answers, each after its request."""
        for path in paths:
            if not _SAFE.fullmatch(path):
                raise Misconfigured(f"{path!r} is no path for the root partition")
        # `-f -` reads them from here
        argv: list[str | Path] = [program("debugfs"), "-f", "-", self._image]
        done = run(argv, stdin="".join(f"{one}\n" for one in requests), timeout_s=_TIMEOUT_S, env={"LC_ALL": "C"})
        if "ilesystem not open" in done.stderr or "while opening" in done.stderr or "Bad magic" in done.stderr:
            said = " ".join(done.stderr.split())[-300:]
            raise CommandFailed(f"cannot read the root partition: {said}", "a newer e2fsprogs may know its features")
        return done.stdout


def _making(folders: Sequence[str]) -> list[str]:
    """Return what makes folders, outer ones first. NetworkManager's is for root alone."""
    script: list[str] = []
    for path in map(PurePosixPath, folders):
        mode = 0o40700 if path.name == "system-connections" else 0o40755
        # debugfs takes the parent of /var for the folder that it is in, so it is told where to go
        script += [f"cd {path.parent}", f"mkdir {path.name}", f"sif {path.name} mode 0{mode:o}"]
    return script
