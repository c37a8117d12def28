"""`im expire`."""

import click

from im_client.cli.session import complete_infrastructure, opened, yes_option
from infracore.cli.console import ask, needs_answer, print_data, say
from infracore.cli.lazy import ExampleCommand
from infracore.errors import InfraError, InvalidUsage
from infracore.exitcodes import ExitCode

__all__ = ["command"]


@click.command(
    "expire",
    cls=ExampleCommand,
    short_help="Say how long an infrastructure may live, or end those whose time is over.",
    examples=(
        ("im expire demo 8h", "Let it live eight hours from now on; `never` for ever."),
        ("im expire --due -y", "Destroy those whose time is over; for a timer (systemd/im-expire.timer)."),
    ),
)
@click.argument("infra", required=False, shell_complete=complete_infrastructure)
@click.argument("lease", required=False, metavar="[TIME|never]")
@click.option("--due", "ends", is_flag=True, help="Destroy all infrastructures whose time is over.")
@yes_option
def command(infra: str | None, lease: str | None, *, ends: bool, yes: bool) -> int:
    """Say how long INFRA may live from now on, or destroy those whose time is over.

    `im serve` destroys them by itself. One that is being changed is left for the next time.
    """
    if ends == (infra is not None) or (infra is not None and lease is None):
        raise InvalidUsage("say INFRA and a time, or --due", "im expire demo 8h; im expire --due")
    if ends:
        needs_answer(yes)
        return _end(yes=yes)
    from im_client.cli.forecast import lease_text
    from im_client.services.leases import set_lease
    from im_client.services.terms import parse_lease

    lease_s = parse_lease(lease or "")
    with opened() as ctx:
        record = set_lease(ctx, infra or "", lease_s)
    ends_at = record.terms.expires_at
    print_data(f"{record.name}: {'lives for ever' if ends_at is None else lease_text(ends_at)}")
    return ExitCode.DONE


def _end(*, yes: bool) -> int:
    """Destroy what is due, one after another; one that fails stops no other."""
    from im_client.cli.interrupt import interruptible
    from im_client.cli.progress import progress
    from im_client.services.leases import due, end

    worst = ExitCode.DONE
    with opened() as ctx:
        over = due(ctx)
        if not over:
            say("no lease is over")
            return ExitCode.DONE
        names = ", ".join(record.name for record in over)
        if not ask(f"Destroy {names} with all machines?", yes):
            say("nothing was changed")
            return ExitCode.FAILED
        with progress(as_json=False) as listener, interruptible(listener.notice, again="im expire --due") as cancel:
            for record in over:
                if cancel.is_set():
                    return ExitCode.INTERRUPTED
                try:
                    what = end(ctx, record.id, listener=listener, cancel=cancel)
                except InfraError as error:
                    what, worst = f"not destroyed: {error.message}", ExitCode.PARTLY_DONE
                else:
                    worst = worst if not what else ExitCode.PARTLY_DONE
                say(f"{record.name}: {what or 'destroyed, its lease was over'}")
    return worst
