"""`im validate`: all that is wrong with a template, and how many machines it makes."""

from collections.abc import Mapping

from im_client.services.analysis import analyse
from im_client.services.context import Context
from im_client.services.model import ValidateReport
from im_client.services.templates import absolute, settle
from im_client.topology.values import Value

__all__ = ["validate"]


def validate(
    ctx: Context, template: str, add_ons: tuple[str, ...] = (), inputs: Mapping[str, Value] | None = None
) -> ValidateReport:
    """Read, merge, check and lower a template. Problems are in the report; a missing required input is a warning."""
    location = absolute(template, ctx.cwd)
    merged = tuple(absolute(add_on, ctx.cwd) for add_on in add_ons)
    reader = ctx.reader()
    analysis = analyse(location, reader, add_ons=merged, require_inputs=False)
    settled = settle(inputs or {}, analysis.inputs)
    if settled:
        analysis = analyse(location, reader, add_ons=merged, inputs=settled, require_inputs=False)
    topology = analysis.topology
    return ValidateReport(
        problems=analysis.problems,
        machines={group.name: group.count for group in topology.groups.values() if group.count} if topology else {},
        inputs=len(analysis.inputs),
        outputs=len(topology.outputs) if topology else 0,
    )
