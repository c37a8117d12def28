"""`im clone`, asked of a server."""

import sys
from pathlib import Path

import click

from im_client.cli.problems import say_problems
from im_client.cli.remote.changing import carry_out, refuse_wait
from im_client.cli.remote.session import Session, opened
from im_client.cli.render import plan_view
from im_client.cli.shapes import plan_shape
from im_client.cli.templates import make_request
from im_client.services.model import DeployRequest
from im_client.services.remote import cloning
from im_client.services.remote.reading import find
from im_client.topology.values import Value
from infracore.cli.console import needs_answer, print_data, print_json
from infracore.errors import InvalidUsage
from infracore.exitcodes import ExitCode

__all__ = ["clone_"]


def clone_(
    *,
    infra: str,
    name: str,
    pairs: tuple[str, ...],
    files: tuple[Path, ...],
    ask_secrets: bool,
    provider: str | None,
    settings: tuple[str, ...],
    no_configure: bool,
    only_plan: bool,
    yes: bool,
    wait_s: float | None,
    as_json: bool,
) -> int:
    """`im clone`: ours makes it from what it has recorded, the original from the template's text."""
    refuse_wait(wait_s)
    if not only_plan:
        needs_answer(yes, also="; --plan shows what would be made")
    request = make_request(
        "",
        add_ons=(),
        pairs=pairs,
        files=files,
        name=name,
        provider=provider,
        settings=settings,
        no_configure=no_configure,
    )
    with opened() as session:
        found = find(session.server, infra)
        if ask_secrets:
            request = _with_secrets(session, found, request)
        plan = cloning.prepare_clone(session.server, session.settings, found, request)
        if only_plan:
            say_problems(plan.warnings)
            if as_json:
                print_json(plan_shape(plan))
            else:
                print_data(plan_view(plan))
            return ExitCode.DONE
        # where it is interrupted, the clone is there already: it is looked at, and not made once more
        return carry_out(session, plan, ["show", name], f"Make {name} so?", yes=yes, as_json=as_json)


def _with_secrets(session: Session, infra: str, request: DeployRequest) -> DeployRequest:
    """Ask on the terminal for the secret inputs that the command line does not give."""
    import dataclasses

    found = cloning.secret_inputs(session.server, session.settings, infra)
    missing = [one for one in found if one.name not in request.inputs]
    if missing and not (sys.stdin is not None and sys.stdin.isatty()):
        names = ", ".join(one.name for one in missing)
        raise InvalidUsage(f"there is no terminal to ask for {names} on", "give them in a file: --inputs FILE")
    asked: dict[str, Value] = {
        one.name: click.prompt(one.description or one.name, hide_input=True, err=True) for one in missing
    }
    return dataclasses.replace(request, inputs={**asked, **request.inputs})
