"""What `im start`, `im stop` and `im reboot` have in common."""

import shlex

from im_client.cli.change import follow, patience
from im_client.cli.session import opened

__all__ = ["change_power"]


def change_power(verb: str, infra: str, nodes: tuple[str, ...], *, wait_s: float | None, as_json: bool) -> int:
    """Do it to the named machines, or to all; return the exit code."""
    from im_client.services.model import Verb
    from im_client.services.power import power

    with opened() as ctx:
        return follow(
            lambda listener, cancel: power(
                ctx, infra, Verb(verb), nodes, listener=listener, cancel=cancel, wait_s=patience(ctx, wait_s)
            ),
            again=shlex.join(["im", verb, infra, *nodes]),
            as_json=as_json,
            with_outputs=False,
        )
