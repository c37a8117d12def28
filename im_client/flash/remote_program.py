"""A Python program that is sent to a machine over ssh as text, run there as root, and answers with lines of JSON."""

import contextlib
import json
import shlex
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from im_client.remote.access import Access
from im_client.remote.pipe import Pipe, open_pipe
from infracore.errors import CommandFailed, InfraError, Misconfigured, Unauthorised

__all__ = ["Answers", "never_started", "running"]

_ANSWER_S: Final = 60.0
_START: Final = "import sys;r=sys.stdin.buffer;exec(compile(r.read(int(r.readline())),'im-flash','exec'))"


class Answers:
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
def running(access: Access, program: str, order: dict[str, Any]) -> Iterator[tuple[Pipe, Answers]]:
    """Start a program, named by its file here, with an order. Its only argument there is `SSH_CONNECTION` (ssh(1))."""
    text = Path(program).read_bytes()
    python = f'{shlex.quote(access.python)} -u -c {shlex.quote(_START)} "$SSH_CONNECTION"'
    with open_pipe(access, f"sudo -n {python}" if access.become else python) as pipe:
        answers = Answers(pipe)
        with contextlib.suppress(OSError):  # it has ended already: what it said is read by whoever asks
            pipe.stdin.write(f"{len(text)}\n".encode() + text + json.dumps(order).encode() + b"\n")
            pipe.stdin.flush()
        yield pipe, answers


def never_started(where: str, pipe: Pipe) -> InfraError:
    """Say why a program has said nothing, where ssh itself did its work."""
    said, access = pipe.text().strip(), pipe.access
    if "password is required" in said or "sudo:" in said:
        return Unauthorised(
            f"{where}: {access.user} may not become root: {said.splitlines()[-1]}",
            "let it use sudo without a password, or log in as root",
        )
    if "not found" in said or "No such file" in said:
        return Misconfigured(f"{where}: there is no {access.python}", "apt-get install python3")
    return CommandFailed(f"{where}: the program there said nothing of use: {said[-500:]}")
