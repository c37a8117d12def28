"""The server of a command line, and how its commands are written down again."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from im_client.cli.session import setting_overrides
from im_client.services.remote.server import Server, open_server
from im_client.settings import Settings, load_settings

__all__ = ["Session", "again", "opened"]


@dataclass(frozen=True, slots=True)
class Session:
    """One command's server and settings."""

    server: Server
    settings: Settings
    cwd: Path

    @property
    def known_hosts(self) -> Path:
        """The folder of host keys that were seen: one for each server."""
        address = self.server.rest.http.address
        return self.settings.state_dir / "remote-hosts" / f"{address.host}-{address.port}".replace(":", "_")


@contextmanager
def opened() -> Iterator[Session]:
    """Load the settings and open the server; nothing is sent yet."""
    settings = load_settings(overrides=setting_overrides(), environ=os.environ, cwd=Path.cwd()).value
    with open_server(settings, os.environ) as server:
        yield Session(server, settings, Path.cwd())


def again(*words: str) -> str:
    """Return the command line that goes on, with the options that name the server; no secret is among them."""
    params = click.get_current_context().find_root().params
    options: list[str] = []
    for name in ("server", "auth_file", "token_file", "ca_file"):
        if params.get(name):
            options += [f"--{name.replace('_', '-')}", str(params[name])]
    if params.get("insecure_http"):
        options.append("--insecure-http")
    return shlex.join(["im", *options, *words])
