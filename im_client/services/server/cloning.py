"""Another infrastructure from what is recorded of one: template, inputs and secrets stay here, the name is another."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from im_client.radl.front import recorded, renamed
from im_client.radl.text import write
from im_client.services.clone import kept_inputs
from im_client.services.model import Prepared
from im_client.services.prepare import check_name
from im_client.services.server.bodies import TEMPLATES
from im_client.services.server.callers import Caller
from im_client.services.server.changes import Accepted, create_from, prepare_new
from im_client.services.server.house import House
from im_client.services.server.lending import of_caller
from im_client.services.server.merging import merge_templates
from im_client.services.server.refusals import is_of_caller
from im_client.state.store import Endpoint, Source
from im_client.topology.values import Value
from infracore.errors import Unsupported
from infracore.ids import new_infrastructure_id

__all__ = ["Wanted", "clone", "preview_clone"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller says of the new one."""

    name: str
    """Stands in its template, and begins its own name."""
    inputs: Mapping[str, Value] = field(default_factory=dict)
    """Those that differ."""


def preview_clone(house: House, caller: Caller, infra: str, wanted: Wanted) -> Prepared:
    """Plan it and record nothing. Raises as `clone`."""
    house = of_caller(house, caller)
    new = new_infrastructure_id()
    return _prepare(house, caller, infra, wanted, new=new, endpoint=house.endpoints.offer(new, None)[0])


def clone(house: House, caller: Caller, infra: str, wanted: Wanted) -> Accepted:
    """Make an infrastructure that the caller owns from the recorded template and inputs of another, which stays.

    Values that were made (`random(N)`) are made anew; numbers set by scaling and outputs are not taken over. Its
    machines come from where the caller's credentials say, as those of a template that is sent.

    Raises:
        InvalidUsage: a name or input that cannot be. Unsupported: it was deployed on the server's own computer.
        InvalidTemplate, Unauthorised, QuotaExceeded: as `changes.create`.
    """
    house = of_caller(house, caller)
    new = new_infrastructure_id()
    endpoint, token = house.endpoints.offer(new, None)
    return create_from(house, caller, _prepare(house, caller, infra, wanted, new=new, endpoint=endpoint), token)


def _prepare(
    house: House, caller: Caller, infra: str, wanted: Wanted, *, new: str, endpoint: Endpoint | None
) -> Prepared:
    check_name(wanted.name)
    record = house.ctx.store.infrastructure(infra)
    if not is_of_caller(record):
        raise Unsupported(
            f"{record.name} was deployed on the server's own computer, and may need files of it", "im clone there"
        )
    inputs = {**kept_inputs(house.ctx, record, wanted.inputs), **wanted.inputs}
    before = record.source

    def place(location: str) -> str:
        own = f"{TEMPLATES}{record.id}/"
        return f"{TEMPLATES}{new}/{location.removeprefix(own)}" if location.startswith(own) else location

    files = {place(location): text for location, text in before.files.items()}
    main = place(before.template)
    files[main] = _renamed(files[main], main, wanted.name, inputs)
    source = Source(main, tuple(map(place, before.add_ons)), files=files, inputs=inputs, endpoint=endpoint)
    return prepare_new(house, caller, new, source, wanted.name)


def _renamed(text: str, location: str, name: str, inputs: Mapping[str, Value]) -> str:
    """Return a template that says another name: clients find infrastructures by it."""
    if location.endswith((".yaml", ".yml")):
        return merge_templates(text, json.dumps({"metadata": {"template_name": name, "infra_name": name}}), {}).text
    return write(renamed(recorded([(location, text)], inputs), name))
