"""`im flash IMAGE ssh://USER@HOST/dev/DISK`: what is asked and shown."""

import shlex
import sys
from typing import TYPE_CHECKING, Any

from infracore.cli.console import ask, print_json, say, say_error
from infracore.cli.text import clean
from infracore.exitcodes import ExitCode
from infracore.units import format_bytes

if TYPE_CHECKING:
    from im_client.flash.model import Result
    from im_client.services.flash import FlashRequest
    from im_client.services.flash_remotely import RemotePlan
    from im_client.settings import Settings

__all__ = ["flash_over_ssh"]


def flash_over_ssh(
    settings: "Settings",
    request: "FlashRequest",
    *,
    key_file: str = "",
    restart: bool = False,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Show the disk, ask, make the image and send it; return the exit code.

    Raises:
        InfraError: it cannot be done as asked; nothing was written to the disk.
    """
    from im_client.cli.bars import shown
    from im_client.cli.interrupt import interruptible
    from im_client.flash.card import Step
    from im_client.services.flash_remotely import flash_remotely, prepare_remotely

    plan = prepare_remotely(settings, request, key_file=key_file)
    if as_json:
        print_json({"type": "plan", **_plan_shape(plan)}, in_one_line=True)
    else:
        for line in _about(plan).splitlines():
            say(clean(line))
    if dry_run:
        say("nothing was written")
        return ExitCode.DONE
    if not ask("All that is on this disk is lost. Write?", yes):
        say("nothing was written")
        return ExitCode.FAILED
    again = shlex.join(["im", *sys.argv[1:]])
    with shown(as_json=as_json) as bars, interruptible(bars.notice, again=again) as cancel:

        def on_step(name: str, step: Step) -> None:
            if step is not Step.ENDED:  # that of the file here; the disk there begins now
                bars.on_step(name, step)

        result = flash_remotely(
            settings, plan, restart=restart, on_progress=bars.on_progress, on_step=on_step, cancel=cancel
        )
        bars.on_step(plan.disk.name, Step.ENDED)
    if as_json:
        print_json({"type": "report", **_result_shape(plan, result)}, in_one_line=True)
    elif result.error is None:
        read_back = ", read back" if result.verified else ""
        say(clean(f"{plan.disk.where}: done, {format_bytes(result.written)} written{read_back}"))
    if result.error is not None:
        say_error(result.error)
        return result.error.exit_code
    return ExitCode.DONE


def _about(plan: "RemotePlan") -> str:
    source = plan.batch.source
    becomes = f"becomes {plan.node.hostname}" if plan.node else "as the image is"
    return f"{source.name or source.address} is written to\n  {plan.disk.where}: {plan.facts.about}  {becomes}"


def _plan_shape(plan: "RemotePlan") -> dict[str, Any]:
    facts = plan.facts
    return {
        "name": plan.disk.name,
        "host": plan.disk.access.address,
        "path": plan.disk.path,
        "hostname": plan.node.hostname if plan.node else None,
        "image": plan.batch.source.address,
        "size": facts.size,
        "model": facts.model,
        "serial": facts.serial,
        "is_device": facts.is_device,
    }


def _result_shape(plan: "RemotePlan", result: "Result") -> dict[str, Any]:
    error = None if result.error is None else {"error": result.error.message, "hint": result.error.hint}
    return {
        "name": plan.disk.name,
        "host": plan.disk.access.address,
        "path": plan.disk.path,
        "state": result.state.value,
        "written": result.written,
        "verified": result.verified,
        "error": error,
    }
