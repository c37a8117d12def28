"""`im serve`."""

import gc

import click

from im_client.cli.session import setting_overrides
from infracore.cli.lazy import ExampleCommand
from infracore.errors import Misconfigured

__all__ = ["command"]


@click.command(
    "serve",
    cls=ExampleCommand,
    short_help="Serve the REST API of the Infrastructure Manager.",
    examples=(
        ("im serve", "On loopback, port 8800; make an account first: im user add NAME."),
        ("im serve --host 0.0.0.0 -p 8899", "For others too; set server.tls_certificate and server.tls_key."),
    ),
)
@click.option("--host", default=None, metavar="ADDRESS", help="Address to listen on (setting server.host).")
@click.option("-p", "--port", type=click.IntRange(0, 65535), default=None, help="Port (setting server.port).")
def command(host: str | None, port: int | None) -> int:
    """Serve the REST API of the Infrastructure Manager until it is stopped.

    Changes that have not ended then go on at the next start.
    """
    gc.disable()  # what is imported stays: `serve` turns it on again (a tenth of the time until it answers)
    try:
        from im_client.api.server import serve
    except ImportError as error:
        raise Misconfigured(
            f"im serve needs more packages ({error.name} is missing)",
            "pip install im-clues[server], or in a checkout: make venv",
        ) from error
    overrides: dict[str, object] = dict(setting_overrides())
    if host is not None:
        overrides["server.host"] = host
    if port is not None:
        overrides["server.port"] = str(port)
    return serve(overrides=overrides)
