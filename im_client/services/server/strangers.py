"""What templates of strangers may not ask of this computer.

Ansible runs on the server: a playbook can read files, environment and network from there by lookups, delegation and
local connections, and a text that holds Jinja is evaluated there too. So by default only playbooks that come with
this program run for callers, and no value that reaches them may hold what Jinja would take for its own.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from im_client.services.context import Context
from im_client.services.expressions import JINJA
from im_client.services.server.clouds import needs_line, offered
from im_client.services.server.images import Usable
from im_client.services.server.reserved import is_file_of_this_computer, is_reserved
from im_client.services.sites import Sites, site_names
from im_client.state.store import InfrastructureRecord
from im_client.topology.golden import golden_parts
from im_client.topology.model import Topology
from im_client.topology.values import Concat, Join, Token, Value
from infracore.content import content_folder
from infracore.errors import Unsupported
from infracore.secrets import Secret

__all__ = ["refuse_foreign", "refuse_where_run"]

_EDGE: Final = re.compile(r"\{$")


def refuse_where_run(
    ctx: Context, record: InfrastructureRecord, topology: Topology, images: Callable[[Collection[str]], Usable]
) -> None:
    """Do as `refuse_foreign` where a site's machines are configured at all and callers are not trusted.

    `images` is asked for the golden images that the template may name, where it names any.

    Raises:
        Unsupported: as `refuse_foreign`; or the template names a site or a golden image that is not the caller's.
        InfraError: the site where that image may be cannot be asked.
    """
    here = offered(ctx)
    named = site_names(topology, ())
    for site in named:
        if site not in ctx.lent and (site not in (record.provider, *here) or needs_line(site)):
            raise Unsupported(f"this server offers no site {site[:40]!r}", f"it has: {', '.join(here)}")
    golden = {group.golden_image: group.name for group in topology.groups.values() if group.golden_image}
    usable = images(golden) if golden else Usable()
    for image, group in golden.items():
        if image not in usable.names:
            for site, error in usable.silent.items():
                if golden_parts(image)[0] in {None, site}:
                    raise error
            raise Unsupported(
                f"{group} asks for the golden image {image[:100]!r}, which is none of yours",
                "GET /clouds/ID/images shows yours: write the name or the whole address",
            )
    is_run = any(limits.reachable for limits in Sites(ctx, record).limits(named).values())
    if is_run and not ctx.settings.server.foreign_playbooks:
        refuse_foreign(topology)


def refuse_foreign(topology: Topology) -> None:
    """Refuse a topology whose operations run code of the caller, or feed ours with expressions or variables of theirs.

    Raises:
        Unsupported: it does; the message says which operation.
    """
    ours = f"{content_folder() / 'playbooks'}/"
    for operation in topology.operations:
        foreign = [
            artifact.location
            for artifact in (operation.implementation, *operation.requires)
            if not artifact.location.startswith(ours)
        ]
        if foreign:
            raise Unsupported(
                f"{operation.id} runs {foreign[0]}, which does not come with this server",
                "the server's owner can allow it: server.foreign_playbooks",
            )
        for name, value in operation.inputs.items():
            if is_reserved(name) or (is_file_of_this_computer(name) and value):
                raise Unsupported(
                    f"{operation.id} gives the input {name}, which is the server's to say",
                    "the server's owner can allow it: server.foreign_playbooks",
                )
            if any(JINJA.search(text) or (joined and _EDGE.search(text)) for text, joined in _texts(value)):
                raise Unsupported(
                    f"the input {name} of {operation.id} holds an expression in curly brackets",
                    "say the value itself, or use the functions of TOSCA",
                )


def _texts(value: Value, *, joined: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield all texts of a value, and whether something is written directly behind them."""
    match value:
        case str():
            yield value, joined
        case Secret():
            yield value.reveal(), joined
        case Mapping():
            for key, item in value.items():
                yield key, joined
                yield from _texts(item, joined=joined)
        case tuple():
            for item in value:
                yield from _texts(item, joined=joined)
        case Concat():
            yield from _texts(value.parts, joined=True)
        case Join():
            yield value.delimiter, True
            yield from _texts(value.parts, joined=True)
        case Token():
            yield from ((text.replace("{", "{{"), joined) for text, _ in _texts(value.text))
