"""`im destroy`."""

import click

from im_client.cli.change import SEE_PLAN, carry_out, wait_option
from im_client.cli.session import named_infra_argument, opened, stream_option, yes_option
from infracore.cli.console import needs_answer
from infracore.cli.lazy import ExampleCommand

__all__ = ["command"]


@click.command(
    "destroy",
    cls=ExampleCommand,
    short_help="Delete an infrastructure with all its machines.",
    examples=(
        ("im destroy demo", "Show what goes, ask, then delete it."),
        ("im destroy demo -y --skip-hooks", "Ask nothing, and run no delete hook of the template."),
    ),
)
@named_infra_argument
@click.option("--skip-hooks", is_flag=True, help="Run no stop and delete hooks of the template.")
@yes_option
@wait_option
@stream_option
def command(infra: str, skip_hooks: bool, yes: bool, wait_s: float | None, as_json: bool) -> int:
    """Delete an infrastructure with all its machines and all that is recorded of it.

    INFRA is always named: a name as it is, an id, or the beginning of one id. Nothing is ever guessed.
    """
    import shlex

    from im_client.services.prepare import prepare_destroy

    needs_answer(yes, also=SEE_PLAN)
    with opened() as ctx:
        prepared = prepare_destroy(ctx, infra, skip_hooks=skip_hooks)
        return carry_out(
            ctx,
            prepared,
            again=shlex.join(["im", "destroy", infra, *(["--skip-hooks"] if skip_hooks else [])]),
            question=f"Delete {prepared.infrastructure.name} with all its machines?",
            yes=yes,
            as_json=as_json,
            wait_s=wait_s,
        )
