"""Another disk of a running machine, flashed over ssh: streamed, checked, read back there.

The machine needs Python and an account that may become root. The disk that it runs from is refused: to flash that one,
boot it from the network or from another disk first.
"""

import contextlib
import hashlib
import json
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from im_client.flash import remote_receiver as receiver
from im_client.flash.bmap import BlockMap
from im_client.flash.buffers import Buffers, Piece
from im_client.flash.model import BadBlock, Phase, Progress, Result, State, Target
from im_client.flash.pieces import HEAD_BYTES, Cutter
from im_client.flash.progress import Meter
from im_client.flash.remote_disk import OWN, RemoteDisk, RemoteFacts
from im_client.flash.streams import open_stream
from im_client.flash.write import UNFINISHED
from im_client.remote.access import Access
from im_client.remote.pipe import Pipe, open_pipe
from im_client.remote.shell import open_shell
from infracore.errors import (
    Cancelled,
    CommandFailed,
    Conflict,
    InfraError,
    InvalidUsage,
    Misconfigured,
    Transient,
    Unauthorised,
)

__all__ = ["flash_remote", "look_remote", "reboot"]

_BUFFERS: Final = 4
_LOOK_S: Final = 0.2
_ANSWER_S: Final = 60.0
_REBOOT_S: Final = 30.0
_START: Final = "import sys;r=sys.stdin.buffer;exec(compile(r.read(int(r.readline())),'im-flash','exec'))"


def look_remote(disk: RemoteDisk) -> RemoteFacts:
    """Ask a machine for its disk; changes nothing.

    Raises:
        Conflict: it shows another host key. Unauthorised: no login, or no root. Transient: it does not answer.
        Misconfigured: it has no Python.
    """
    with _receiving(disk, {"do": "look", "path": disk.path}) as (pipe, answers):
        answers.wait(lambda: "path" in answers.last or answers.is_over)
        if "path" not in answers.last:
            raise _broken(disk, pipe, answers)
        facts = answers.last
    return RemoteFacts(
        size=int(facts["size"]),
        model=str(facts["model"]),
        serial=str(facts["serial"]),
        transport=str(facts["transport"]),
        is_device=bool(facts["is_device"]),
        refusal=str(facts["refusal"]),
    )


def flash_remote(
    image: Path,
    disk: RemoteDisk,
    *,
    blocks: BlockMap | None = None,
    size: int | None = None,
    sha256: str | None = None,
    expect: RemoteFacts | None = None,
    verify: bool = True,
    on_progress: Callable[[Progress], None] = lambda _: None,
    cancel: threading.Event,
) -> Result:
    """Stream an image to a disk and return what became of it; blocks for minutes.

    `size` and `sha256` are those that the raw image must have; `expect` is what was agreed to, and another disk that is
    in its place meanwhile is not written. A disk that is not done begins with the mark of an
    unfinished one, as a card does (`write.UNFINISHED`), and can be flashed again.

    Raises:
        BadImage: the image is not one, or the map is that of another; nothing was written.
    """
    with open_stream(image, size=size, sha256=sha256) as stream:
        cutter = Cutter(stream, blocks, Buffers(_BUFFERS))
        run = _Run(disk, cutter, expect=expect, verify=verify, on_progress=on_progress)
        try:
            run.work(cancel)
        except InfraError as error:
            state = State.CANCELLED if isinstance(error, Cancelled) else State.FAILED
            return Result(run.target, state, run.answers_written, error=error)
    return Result(run.target, State.DONE, run.answers_written, verify, None, run.cutter.size)


def reboot(access: Access) -> None:
    """Restart a machine; returns as soon as it was told to.

    Raises:
        Conflict, Unauthorised, Transient: it cannot be told.
    """
    command = "systemctl reboot"
    with open_shell(access) as shell:
        try:
            shell.run(f"sudo -n {command}" if access.become else command, timeout_s=_REBOOT_S, check=False)
        except Transient:  # it went down before it had answered; one that was never reached fails here too
            with contextlib.suppress(Transient):
                shell.run("true", timeout_s=_REBOOT_S)


class _Answers:
    """What the machine says, read in a thread of its own."""

    def __init__(self, pipe: Pipe) -> None:
        self.last: dict[str, Any] = {}
        self.seen: dict[str, int] = {}
        self.error: dict[str, Any] | None = None
        self.is_over = False
        self._pipe = pipe
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="flash-answers", daemon=True)
        self._thread.start()

    def wait(self, is_so: Callable[[], bool], limit_s: float = _ANSWER_S) -> bool:
        """Wait until something holds."""
        with self._news:
            return self._news.wait_for(is_so, limit_s)

    def _read(self) -> None:
        with contextlib.suppress(ValueError, OSError):  # the pipe was closed meanwhile, or it is no JSON
            for line in self._pipe.stdout:
                words = json.loads(line)
                with self._news:
                    self.last = words
                    self.seen |= {key: value for key, value in words.items() if isinstance(value, int)}
                    self.error = words if "error" in words else self.error
                    self._news.notify_all()
        with self._news:
            self.is_over = True
            self._news.notify_all()


@contextlib.contextmanager
def _receiving(disk: RemoteDisk, order: dict[str, Any]) -> Iterator[tuple[Pipe, _Answers]]:
    """Start the receiver on the machine with an order."""
    program = Path(receiver.__file__).read_bytes()
    python = f"{shlex.quote(disk.access.python)} -u -c {shlex.quote(_START)}"
    with open_pipe(disk.access, f"sudo -n {python}" if disk.access.become else python) as pipe:
        answers = _Answers(pipe)
        with contextlib.suppress(OSError):  # it has ended already: what it said is read below
            pipe.stdin.write(f"{len(program)}\n".encode() + program + json.dumps(order).encode() + b"\n")
            pipe.stdin.flush()
        yield pipe, answers


class _Run:
    """One image on its way to one disk."""

    def __init__(
        self,
        disk: RemoteDisk,
        cutter: Cutter,
        *,
        expect: RemoteFacts | None,
        verify: bool,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.disk = disk
        self.cutter = cutter
        self.target = Target(disk.name, Path(disk.path))
        self.answers_written = 0
        self._expect = {} if expect is None else expect.identity
        self._verify = verify
        self._on_progress = on_progress
        self._meters: dict[Phase, Meter] = {}
        self._sent = 0
        self._is_ending = False
        """Whether the first bytes were sent: without an answer nobody knows which are on the disk now."""

    def work(self, cancel: threading.Event) -> None:
        order = {
            "do": "write",
            "path": self.disk.path,
            "size": self.cutter.image_size or 0,
            "verify": self._verify,
            "expect": self._expect,
            "mark": UNFINISHED.hex(),
        }
        over = threading.Event()
        with _receiving(self.disk, order) as (pipe, answers):
            watch = threading.Thread(target=_watch, args=(pipe, cancel, over), name="flash-cancel", daemon=True)
            watch.start()
            try:
                self._send(pipe, answers, cancel)
            except OSError as error:
                raise self._failed(pipe, answers, cancel) from error
            finally:
                over.set()
                watch.join()
                self.answers_written = answers.seen.get("written", 0)

    def _send(self, pipe: Pipe, answers: _Answers, cancel: threading.Event) -> None:
        answers.wait(lambda: "ready" in answers.seen or answers.error is not None or answers.is_over)
        if "ready" not in answers.seen:
            raise self._failed(pipe, answers, cancel)
        for piece in self.cutter.pieces(cancel):
            piece.hold(1)
            try:
                self._send_piece(pipe, piece)
            finally:
                piece.release()
            if answers.error is not None:
                raise self._failed(pipe, answers, cancel)
            self._tell(Phase.WRITE, self._sent, self.cutter.total)
        if cancel.is_set():
            raise self._failed(pipe, answers, cancel)
        self._frame(pipe, receiver.END, 0, b"")
        pipe.stdin.flush()
        self._follow(answers, "body")
        if "body" not in answers.seen or cancel.is_set():
            raise self._failed(pipe, answers, cancel)
        self._is_ending = True
        head = bytes(self.cutter.head[: min(HEAD_BYTES, self.cutter.size)])
        self._frame(pipe, receiver.HEAD, self.cutter.size, head)
        pipe.stdin.flush()
        self._follow(answers, "done")
        if "done" not in answers.seen:
            raise self._failed(pipe, answers, cancel)

    def _follow(self, answers: _Answers, word: str) -> None:
        """Tell how far reading back is until the machine says a word, or no more."""
        while not (answers.error or answers.is_over or word in answers.seen):
            answers.wait(lambda: bool(answers.error or answers.is_over or word in answers.seen), _LOOK_S)
            if "verified" in answers.seen:
                self._tell(Phase.VERIFY, answers.seen["verified"], self._sent)

    def _send_piece(self, pipe: Pipe, piece: Piece) -> None:
        for span in piece.spans:
            if span.digests is None or piece.block is None:
                frame = receiver.FRAME.pack(receiver.ZERO, span.offset, span.length, bytes(32))
                pipe.stdin.write(frame)
                self._sent += span.length
                continue
            for at in range(span.offset, span.end, receiver.MOST):
                end = min(at + receiver.MOST, span.end)
                self._frame(pipe, receiver.DATA, at, piece.block[at - piece.offset : end - piece.offset])
                self._sent += end - at

    def _frame(self, pipe: Pipe, kind: int, offset: int, data: bytes | memoryview) -> None:
        digest = hashlib.sha256(data).digest()
        pipe.stdin.write(receiver.FRAME.pack(kind, offset, len(data), digest))
        pipe.stdin.write(data)

    def _tell(self, phase: Phase, done: int, total: int | None) -> None:
        if phase not in self._meters:
            self._meters[phase] = Meter(self.disk.name, phase, total)
        self._on_progress(self._meters[phase].at(time.monotonic(), done))

    def _failed(self, pipe: Pipe, answers: _Answers, cancel: threading.Event) -> InfraError:
        """Say why it ended, and how the disk is left."""
        state, hint = _left(answers, is_ending=self._is_ending)
        if cancel.is_set():
            return Cancelled(f"{self.disk.where}: cancelled; {state}", hint)
        pipe.failure()
        answers.wait(lambda: answers.is_over)
        if answers.error is not None and answers.error["error"] != "cut":
            return _refused(self.disk, answers.error)
        return _broken(self.disk, pipe, answers, is_ending=self._is_ending)


def _left(answers: _Answers, *, is_ending: bool) -> tuple[str, str]:
    """Say how a disk is left, and what to do."""
    if "ready" not in answers.seen:
        return "nothing was written", ""
    if is_ending:
        said = "its last block was being written: it is marked unfinished, or it is whole, which is not known"
        return said, "do not restart that machine: flash it again"
    return "it is marked unfinished, and nothing boots from it", "flash it again"


def _watch(pipe: Pipe, cancel: threading.Event, over: threading.Event) -> None:
    """End a connection that is cancelled, however long a write to it would still wait."""
    while not over.wait(_LOOK_S):
        if cancel.is_set():
            pipe.kill()
            return


def _refused(disk: RemoteDisk, said: dict[str, Any]) -> InfraError:
    kind, message, offset = said["error"], f"{disk.where}: {said['message']}", said.get("offset")
    if kind == "bad":
        at = int(offset or 0)
        how = "this one is marked unfinished" if said.get("marked") else "this one could not be marked as unfinished"
        return BadBlock(f"{message} (byte {at})", f"use another disk; {how}", offset=at)
    if kind == "busy":
        return Conflict(message, "unmount it, or wait for whoever writes it; nothing was written")
    if kind == "refused":
        return InvalidUsage(message, OWN if "runs from it" in message else "nothing was written")
    return CommandFailed(message)


def _broken(disk: RemoteDisk, pipe: Pipe, answers: _Answers, *, is_ending: bool = False) -> InfraError:
    """Say what a connection without a last word means."""
    error = pipe.failure()
    said = pipe.text().strip()
    if "ready" in answers.seen:
        written = answers.seen.get("written", 0)
        reason = error.message if error is not None else said or "the program there ended"
        state, hint = _left(answers, is_ending=is_ending)
        return Transient(f"{disk.where}: the connection broke after {written} bytes: {reason}; {state}", hint)
    if error is not None:
        return error
    if "password is required" in said or "sudo:" in said:
        return Unauthorised(
            f"{disk.where}: {disk.access.user} may not become root: {said.splitlines()[-1]}",
            "let it use sudo without a password, or log in as root",
        )
    if "not found" in said or "No such file" in said:
        return Misconfigured(f"{disk.where}: there is no {disk.access.python}", "apt-get install python3")
    return CommandFailed(f"{disk.where}: the program there said nothing of use: {said[-500:]}")
