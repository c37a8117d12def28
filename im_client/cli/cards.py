"""Cards and what became of them, as people and programs read them."""

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from im_client.flash.card import Card, Made, Outcome
from im_client.flash.devices import Device
from im_client.flash.known import names_of
from im_client.flash.model import BadBlock
from im_client.flash.refusals import describe
from im_client.services.flash import FlashPlan, FlashReport
from infracore.cli.tables import bare_table, cell, counted
from infracore.cli.text import clean
from infracore.errors import InfraError
from infracore.exitcodes import ExitCode
from infracore.units import format_bytes, format_duration

__all__ = ["cards_table", "device_shape", "exit_code", "plan_shape", "plan_view", "report_shape", "report_view"]

_STYLES = {
    Outcome.DONE: "green",
    Outcome.UNCHANGED: "dim",
    Outcome.FAILED: "bold red",
    Outcome.CANCELLED: "bold yellow",
}
_GOOD = {Outcome.DONE, Outcome.UNCHANGED}


def cards_table(devices: tuple[Device, ...]) -> RenderableType:
    """Return the disks that are, or may be, cards."""
    table = bare_table("DEVICE", "MODEL", "SERIAL", "SIZE", "ON", "IN USE")
    for device in devices:
        size = format_bytes(device.size) if device.size else "no card"
        uses = ", ".join(str(use) for use in device.uses) or ("read-only" if device.is_read_only else "")
        on = device.transport.value if device.is_external else f"{device.transport} (inside)"
        table.add_row(cell(str(device.path), "bold"), cell(device.model), cell(device.serial), size, on, cell(uses))
    return table


def device_shape(device: Device) -> dict[str, Any]:
    """Return a disk for programs."""
    return {
        "device": str(device.path),
        "model": device.model,
        "serial": device.serial,
        "size_bytes": device.size,
        "transport": device.transport.value,
        "removable": device.is_removable,
        "read_only": device.is_read_only,
        "external": device.is_external,
        "uses": [{"device": use.device, "use": use.what} for use in device.uses],
    }


def plan_view(plan: FlashPlan) -> RenderableType:
    """Return what will be written where: model, size and serial of each card."""
    parts: list[RenderableType] = [Text(f"note: {clean(note)}", style="yellow") for note in plan.notes]
    for batch in plan.batches:
        parts.append(Text.assemble((clean(batch.source.name or batch.source.address), "bold"), " is written to"))
        table = bare_table()
        for _ in range(3):
            table.add_column(overflow="fold")
        for card in batch.cards:
            becomes = f"becomes {card.node.hostname}" if card.node else "as the image is"
            becomes = "stays: it has this already" if card.name in plan.held else becomes
            table.add_row(cell(f"  {card.spot.path}", "bold"), cell(_about(card)), cell(becomes))
        parts.append(table)
    return Group(*parts)


def _about(card: Card) -> str:
    if card.spot.device is not None:
        return describe(card.spot.device)
    return f"a file of {format_bytes(card.spot.size)}, which is replaced" if card.spot.size else "a new file"


def plan_shape(plan: FlashPlan) -> dict[str, Any]:
    """Return a plan for programs."""
    return {
        "cards": [
            {
                "name": card.name,
                "state": "unchanged" if card.name in plan.held else "write",
                "device": str(card.spot.path),
                "hostname": card.node.hostname if card.node else None,
                "image": batch.source.address,
                "model": card.spot.device.model if card.spot.device else "",
                "serial": card.spot.device.serial if card.spot.device else "",
                "size_bytes": card.spot.size,
            }
            for batch in plan.batches
            for card in batch.cards
        ],
        "notes": list(plan.notes),
    }


def report_view(report: FlashReport) -> RenderableType:
    """Return how it went, by node: failures first, then a table."""
    parts: list[RenderableType] = []
    for made in report.made:
        if made.error is not None:
            parts.append(Text(f"failed: {clean(made.card.name)}: {clean(made.error.message)}", "red"))
            if made.error.hint:
                parts.append(Text(f"  hint: {clean(made.error.hint)}"))
    table = bare_table("NODE", "DEVICE", "STATE", "WRITTEN", "VERIFIED", "TIME", "")
    for made in report.made:
        table.add_row(
            cell(made.card.name, "bold"),
            cell(str(made.card.spot.path)),
            Text(made.outcome.value, _STYLES[made.outcome]),
            format_bytes(made.written) if made.written else "",
            "yes" if made.verified else "",
            format_duration(made.elapsed_s) if made.elapsed_s else "",
            cell(_after(made)),
        )
    good = sum(made.outcome in _GOOD for made in report.made)
    said = f"{counted(good, 'card')} well" + (f", {len(report.made) - good} not" if good < len(report.made) else "")
    parts += [table, Text(f"{said}, in {format_duration(report.elapsed_s)}", "bold")]
    if any(made.host_key for made in report.made):
        parts.append(Text(f"host keys are in {report.known_hosts}"))
    return Group(*parts)


def _after(made: Made) -> str:
    if made.is_unfinished:
        return "unfinished, and marked so: it does not boot"
    if made.outcome is Outcome.DONE and made.card.spot.device is not None:
        return f"{made.let}, can be taken out"
    if made.outcome not in _GOOD:
        return "it was written to, and takes no mark: do not use it" if made.is_begun else "nothing was written"
    return "held this already" if made.outcome is Outcome.UNCHANGED else ""


def report_shape(report: FlashReport) -> dict[str, Any]:
    """Return a report for programs."""
    return {
        "changed": any(made.outcome is not Outcome.UNCHANGED for made in report.made),
        "cards": [_made_shape(made) for made in report.made],
        "known_hosts": str(report.known_hosts),
        "elapsed_s": round(report.elapsed_s, 3),
    }


def _made_shape(made: Made) -> dict[str, Any]:
    done = made.customised
    return {
        "name": made.card.name,
        "device": str(made.card.spot.path),
        "state": made.outcome.value,
        "begun": made.is_begun,
        "unfinished": made.is_unfinished,
        "written_bytes": made.written,
        "verified": made.verified,
        "customised_by": done.way.value if done else None,
        "boot_files": list(done.boot) if done else [],
        "host_key": made.host_key or None,
        "names": list(names_of(made.card.node, made.card.address)) if made.card.node else [],
        "let_go": made.let.value,
        "error": None if made.error is None else _error_shape(made.error),
        "elapsed_s": round(made.elapsed_s, 3),
    }


def _error_shape(error: InfraError) -> dict[str, Any]:
    shape = {"code": error.code, "message": error.message, "hint": error.hint}
    return shape | {"offset": error.offset} if isinstance(error, BadBlock) else shape


def exit_code(report: FlashReport) -> ExitCode:
    """Return the exit code: where all failed before a byte was written, for one reason, that reason's own."""
    outcomes = {made.outcome for made in report.made}
    if Outcome.CANCELLED in outcomes:
        return ExitCode.INTERRUPTED
    if Outcome.FAILED not in outcomes:
        return ExitCode.DONE
    if outcomes & _GOOD:
        return ExitCode.PARTLY_DONE
    codes = {made.error.exit_code for made in report.made if made.error is not None}
    is_untouched = not any(made.is_begun for made in report.made)
    return codes.pop() if is_untouched and len(codes) == 1 else ExitCode.FAILED
