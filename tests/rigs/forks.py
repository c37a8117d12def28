"""Real `im` processes that start at once: forked from one that has imported everything, and that can be killed.

with im_forks(folder, {"IM_STATE_DIR": ...}, "t.yaml") as im:
    child = im.start("deploy", "t.yaml", "-y")
    child.wait(30)
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Fork", "Forks", "im_forks"]

_ROOT = Path(__file__).parents[2]


class Fork:
    """One process. Looks like `subprocess.Popen` to whoever kills it or waits for it."""

    def __init__(self, parent: "subprocess.Popen[str]", pid: int) -> None:
        self._parent = parent
        self._lock = threading.Lock()
        self.pid = pid
        self.returncode: int | None = None

    def kill(self) -> None:
        """End it by SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Return its status; negative: the signal that ended it."""
        del timeout  # the test's own limit ends what hangs
        with self._lock:
            if self.returncode is None:
                assert self._parent.stdout is not None
                self.returncode = int(self._parent.stdout.readline())
            return self.returncode


class Forks:
    """Starts processes, one at a time."""

    def __init__(self, parent: "subprocess.Popen[str]", said: Path) -> None:
        self._parent = parent
        self._said = said

    def start(self, *words: str) -> Fork:
        """Start `im` with these words; what it says goes to a file."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(words) + "\n")
        self._parent.stdin.flush()
        return Fork(self._parent, int(self._parent.stdout.readline()))

    def run(self, *words: str) -> tuple[int, str]:
        """Run it to its end; return its status and what it said."""
        status = self.start(*words).wait()
        return status, self._said.read_text()


@contextmanager
def im_forks(folder: Path, environ: Mapping[str, str], template: str) -> Iterator[Forks]:
    """Start the process that forks, in a folder that has the template."""
    said = folder / "said.txt"
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("IM_", "AWS_"))}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.rigs.forks", str(said), template],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**kept, "HOME": str(folder), "NO_COLOR": "1", "PYTHONPATH": str(_ROOT), **environ},
    ) as parent:
        yield Forks(parent, said)
        assert parent.stdin is not None
        parent.stdin.close()
        assert parent.wait(30) == 0


def _main(said: Path, template: str) -> None:
    import boto3.session
    import botocore.session

    import im_client.cli.commands.deploy
    import im_client.cli.commands.destroy
    import im_client.services.apply  # noqa: F401 - all that is imported here need not be in each process
    from im_client.cli.main import run
    from im_client.providers.ec2.client import _loader

    core = botocore.session.get_session()
    core.register_component("data_loader", _loader())
    boto3.session.Session(region_name="us-east-1", botocore_session=core).client("ec2").close()
    with contextlib.redirect_stdout(sys.stderr):
        assert run(["validate", template]) == 0  # reads the types
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            with said.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            status = run(json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(int(status))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2])
