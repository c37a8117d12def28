"""What `cluesd` runs: settings, logs, the daemon, and its doors."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from clues.api.server import start_servers
from clues.daemon import Daemon
from clues.power.registry import driver_problems
from clues.settings import Settings, load_settings
from infracore.exitcodes import ExitCode
from infracore.logs import configure_logs

__all__ = ["doors_of", "serve"]


def serve(*, config: Path | None, overrides: Mapping[str, object], environ: Mapping[str, str]) -> int:
    """Run the daemon until it is stopped; returns the exit code.

    Raises:
        Misconfigured, Conflict, Locked: the settings, another daemon, or a state folder that cannot be used.
    """

    def load() -> Settings:
        return load_settings(
            environ=environ, config=config, overrides=overrides, is_service=True, drivers_of=driver_problems
        ).value

    settings = load()
    configure_logs(
        sys.stderr, level=settings.daemon.log_level, as_json=settings.daemon.log_json, colours=sys.stderr.isatty()
    )
    Daemon(settings, serve=doors_of, reload=load, environ=environ).run()
    return ExitCode.DONE


def doors_of(daemon: Daemon) -> Callable[[], None]:
    """Open the socket and the port of a daemon, and return what closes them."""
    options = daemon.settings.daemon
    return start_servers(
        daemon.control,
        socket_path=options.socket,
        listen=options.metrics_listen,
        registry=daemon.registry,
        group=options.socket_group,
    ).close
