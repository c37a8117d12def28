"""Reading large templates in a process of its own, so that they hold nobody else up.

The YAML library and the front end keep Python's interpreter lock for long stretches; a child has its own. It ends
after one template, has a limit of time and memory, and dies with the server: its standard input closes then. What
goes between the two are pickles of our own values; a child is our own program, which reads templates as data only.
"""

import io
import os
import pickle
import re
import resource
import subprocess
import sys
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from im_client.services.analysis import analyse
from im_client.template.analysis import Analysis, Reader
from im_client.topology.values import Value
from infracore.errors import InfraError, Misconfigured, TimedOut, Transient
from infracore.secrets import Secret

__all__ = ["Analyser"]

SMALL_BYTES: Final = 32 * 1024
"""Templates below it are read in the thread of their request: a child takes 0.3 s of CPU to start."""
_CATALOGUE: Final = re.compile(rb"https://raw\.githubusercontent\.com/grycap/tosca/")
"""Its files come with this program (`im_client.tosca.locations`)."""
_EXPRESSION: Final = re.compile(rb"pattern|\\[xuU\r\n]")
"""A regular expression of the caller's, or an escape that may spell the word: matching one may take for ever."""
_MEMORY_BYTES: Final = 2 * 2**30


class _Pickler(pickle.Pickler):
    """Pickles secrets too, which elsewhere refuse it: the pipe to our own child is no disk and no log."""

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, Secret):
            return Secret, (thing.reveal(),)
        if isinstance(thing, MappingProxyType):
            return dict, (dict(thing),)
        return NotImplemented


def _packed(thing: object) -> bytes:
    out = io.BytesIO()
    _Pickler(out, protocol=pickle.HIGHEST_PROTOCOL).dump(thing)
    return out.getvalue()


class Analyser:
    """`im_client.services.analysis.analyse` for a server. Safe under threads; large templates wait for a child."""

    def __init__(self, *, limit_s: float, children: int = 2, small_bytes: int = SMALL_BYTES) -> None:
        self._limit_s = limit_s
        self._small_bytes = small_bytes
        self._free = threading.BoundedSemaphore(children)

    def __call__(
        self,
        template: str,
        reader: Reader,
        *,
        add_ons: tuple[str, ...] = (),
        inputs: Mapping[str, Value] | None = None,
        require_inputs: bool = True,
    ) -> Analysis:
        """Do as `analyse`.

        Raises:
            TimedOut, Misconfigured: the template takes too long or too much memory. Transient: too many at once.
        """
        given = {"add_ons": add_ons, "inputs": dict(inputs or {}), "require_inputs": require_inputs}
        if all(self._is_quick(reader.read(name)) for name in (template, *add_ons)):
            return analyse(template, reader, **given)  # type: ignore[arg-type]
        if not self._free.acquire(timeout=self._limit_s):
            raise Transient("too many large templates are being read", "repeat it in a moment", self._limit_s)
        try:
            return self._in_child(_packed((template, reader, given)))
        finally:
            self._free.release()

    def _is_quick(self, text: bytes) -> bool:
        """Say whether a template is small, and neither names files of others, large or slow, nor matches patterns."""
        if len(text) >= self._small_bytes or _EXPRESSION.search(text) is not None:
            return False
        return b"https://" not in _CATALOGUE.sub(b"", text)

    def _in_child(self, work: bytes) -> Analysis:
        argv = [sys.executable, "-m", "im_client.services.server.offload"]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
            try:
                answer, _ = child.communicate(work, timeout=self._limit_s)
            except subprocess.TimeoutExpired as error:
                raise TimedOut(f"the template was not read within {self._limit_s:g} s", "make it smaller") from error
            finally:
                child.kill()
        if child.returncode != 0 or not answer:
            raise Misconfigured("the template cannot be read: it takes too much memory or time", "make it smaller")
        found = pickle.loads(answer)  # noqa: S301 - of our own child, see above
        if isinstance(found, InfraError):
            raise found
        return found  # type: ignore[no-any-return]


def main() -> int:
    """Read one template as told on standard input."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(5)
    template, reader, given = pickle.load(sys.stdin.buffer)  # noqa: S301 - of our own parent
    answer: Analysis | InfraError
    try:
        answer = analyse(template, reader, **given)
    except InfraError as error:
        answer = Misconfigured(error.message, error.hint)
    sys.stdout.buffer.write(_packed(answer))
    sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
