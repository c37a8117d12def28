"""An xz of several blocks unpacked on all cores, by the program: Python's module uses one.

`xz -T0` writes such files, Raspberry Pi OS among them. Measured with two cores: half the time; with one, or one block,
the module is as quick as the program.
"""

import os
import re
import shutil
import subprocess
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Final

from im_client.flash.model import BadImage
from im_client.flash.stream import Stream
from im_client.flash.unpack import XZ_MEMORY

__all__ = ["XzThreads", "xz_program"]

_OLDEST: Final = (5, 4)
"""The first that unpacks with threads."""


@cache
def xz_program() -> str | None:
    """Return the path of an xz that unpacks with threads; None where there is none, or one core only."""
    program = shutil.which("xz")
    if program is None or len(os.sched_getaffinity(0)) < 2:
        return None
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"liblzma ([0-9]+)\.([0-9]+)", said)
    return program if found and (int(found[1]), int(found[2])) >= _OLDEST else None


class XzThreads(Stream):
    """What the program writes."""

    kind = "xz"

    def __init__(self, path: Path, file: IO[bytes], size: int, program: str) -> None:
        """Start it, in a session of its own: what ends this process from the keyboard is for this process to say."""
        super().__init__(path, file)
        self.size = size
        limit = f"--memlimit-mt-decompress={XZ_MEMORY}"  # fewer threads, where all together need more
        self._child = subprocess.Popen(
            [program, "-dc", "-q", "-T0", limit, f"--memlimit-decompress={XZ_MEMORY}"],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            env={**os.environ, "LC_ALL": "C"},
        )
        self._is_over = False

    def read_into(self, block: memoryview) -> int:
        assert self._child.stdout is not None  # noqa: S101 - it is a pipe
        done = 0
        while done < len(block) and not self._is_over:
            count = os.readv(self._child.stdout.fileno(), [block[done:]])
            done += count
            if not count:
                self._is_over = True
                self._check()
        return done

    def _check(self) -> None:
        """Raise BadImage where the program failed."""
        assert self._child.stderr is not None  # noqa: S101
        said = self._child.stderr.read().decode(errors="replace").strip().replace("xz: (stdin): ", "")
        status = self._child.wait()
        if status == 0:
            return
        if "emory" in said:
            raise BadImage(f"{self.path} needs too much memory to be unpacked: {said}", "xz -6 is enough")
        if "end of input" in said:
            raise BadImage(f"truncated xz: {self.path} ends too early", "fetch it again")
        raise BadImage(f"corrupt xz: {self.path}: {said[:200] or f'xz ended with {status}'}", "fetch it again")

    def close(self) -> None:
        with suppress(ProcessLookupError):
            self._child.kill()
        for pipe in (self._child.stdout, self._child.stderr):
            if pipe is not None:
                pipe.close()
        self._child.wait()
        super().close()
