"""Deploys a template on `fake` and kills itself (SIGKILL) at the N-th word with the store or the provider.

Run as a program: `crash_driver.py STATE TEMPLATE VERB N`; N = 0 never kills. Exit status 0: it got to its end.
"""

import dataclasses
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from im_client.services.apply import apply
from im_client.services.context import Context, open_context
from im_client.services.model import DeployRequest
from im_client.services.prepare import prepare_deploy, prepare_destroy

WATCHED = {"put_node", "remove_node", "add_infrastructure", "set_source", "create", "delete", "resize", "start_run"}


class Counter:
    """Kills the process: 2K - 1 means before the K-th call, 2K after it."""

    def __init__(self, fatal: int) -> None:
        self.fatal = fatal
        self.calls = 0
        self.lock = threading.Lock()

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            with self.lock:
                self.calls += 1
                before, after = self.calls * 2 - 1, self.calls * 2
            if before == self.fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*args, **kwargs)
            if after == self.fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counted


class Watched:
    """Passes everything on; the watched calls are counted."""

    def __init__(self, inner: Any, counter: Counter) -> None:
        self._inner = inner
        self._counter = counter

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self._counter.wrap(found) if name in WATCHED else found


class WatchedContext(Context):
    """A context whose providers are watched too."""

    counter: Counter

    def provider(self, name: str, settings: Any = None) -> Any:
        return Watched(super().provider(name, settings), self.counter)


def main() -> None:
    state, template, verb, fatal = sys.argv[1:]
    environ = {"IM_STATE_DIR": state, "IM_CACHE_DIR": f"{state}/cache", "IM_PROVIDER": "fake", "HOME": state}
    with open_context(environ=environ, cwd=Path(template).parent) as plain:
        counter = Counter(int(fatal))
        fields = {f.name: getattr(plain, f.name) for f in dataclasses.fields(plain) if f.init}
        ctx = WatchedContext(**{**fields, "store": Watched(plain.store, counter)})
        object.__setattr__(ctx, "counter", counter)
        prepared = prepare_destroy(ctx, "pair") if verb == "destroy" else prepare_deploy(ctx, DeployRequest(template))
        report = apply(ctx, prepared, listener=lambda _: None, cancel=threading.Event())
        print(report.state.value, counter.calls)


if __name__ == "__main__":
    main()
