"""`im worker`."""

import logging
import os
import sys
import threading

import click

from im_client.cli.session import opened
from infracore.cli.lazy import ExampleCommand
from infracore.errors import Misconfigured

__all__ = ["command"]

_MOST_S = 14.0
"""The end of a worker; steps that run have had ten seconds of it."""


@click.command(
    "worker",
    cls=ExampleCommand,
    short_help="Carry out what servers have accepted, on any machine.",
    examples=(
        ("im worker", "As many operations at once as the setting server.workers says."),
        ("im worker --concurrency 4", "Four at once; others wait for another worker, or their turn."),
    ),
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 256),
    default=None,
    metavar="N",
    help="Infrastructures that are changed at once (setting server.workers).",
)
def command(concurrency: int | None) -> int:
    """Carry out what servers have accepted, until it is stopped.

    All servers and workers share one PostgreSQL database (setting database_url). Stopped by SIGTERM, a worker ends the
    steps that run and gives the rest back; where one dies, another goes on when its lease has run out.
    """
    try:
        from im_client.services.server.sharing import run_worker
    except ImportError as error:
        raise Misconfigured(
            f"im worker needs more packages ({error.name} is missing)",
            "pip install im-clues[server], or in a checkout: make venv",
        ) from error
    from infracore.systemd import Notifier

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    notifier = Notifier(os.environ)
    with opened() as ctx:
        most = concurrency or ctx.settings.server.workers

        def ready() -> None:
            sys.stderr.write(f"im worker: ready for {most} operations at once\n")
            sys.stderr.flush()
            notifier.ready(f"{most} operations at once")

        def stopping() -> None:
            notifier.stopping()
            last = threading.Timer(_MOST_S, _leave)  # also where the database is away, and everything waits for it
            last.daemon = True
            last.start()

        if not run_worker(ctx, most, ready=ready, tick=notifier.beat, stopping=stopping):
            _leave()
    return 0


def _leave() -> None:
    """End at once: Python would wait for its threads. What they do is taken up by another worker."""
    sys.stderr.write("im worker: a step did not end in time; another worker goes on with it\n")
    sys.stderr.flush()
    os._exit(0)
