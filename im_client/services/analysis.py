"""One call for templates of every language: TOSCA, and RADL as text or JSON."""

from collections.abc import Mapping

from im_client.template.analysis import Analysis, Reader
from im_client.topology.values import Value
from infracore.errors import InfraError

__all__ = ["analyse"]


def analyse(
    template: str,
    reader: Reader,
    *,
    add_ons: tuple[str, ...] = (),
    inputs: Mapping[str, Value] | None = None,
    counts: Mapping[str, int] | None = None,
    require_inputs: bool = True,
) -> Analysis:
    """Read, merge, check and lower a template with its add-ons, in the language of the template.

    Without `require_inputs` a missing required input is a warning (`im validate`).
    `counts` replaces the number of machines of groups. Safe under threads; pure but for `reader`.
    """
    from im_client.radl import front as radl  # late: a server that nobody has asked yet need not have them
    from im_client.tosca import front as tosca

    front_end = radl.analyse if _is_radl(template, reader) else tosca.analyse
    return front_end(template, reader, add_ons=add_ons, inputs=inputs, counts=counts, require_inputs=require_inputs)


def _is_radl(template: str, reader: Reader) -> bool:
    from im_client.radl.front import is_radl

    try:
        text = reader.read(template)
    except InfraError:  # the front end says so, with its place
        text = b""
    return is_radl(template, text)
