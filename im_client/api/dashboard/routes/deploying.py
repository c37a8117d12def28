"""From the catalogue to a new infrastructure: choose a template, fill in its form, look at the plan, deploy."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from im_client.api.dashboard.forms import Field, fields_of, read_fields, with_problems
from im_client.api.dashboard.picture import draw
from im_client.api.dashboard.visit import Visit, page
from im_client.plan.explain import details, summary
from im_client.plan.model import Plan
from im_client.providers.quotas import Quota
from im_client.services.analysis import analyse
from im_client.services.elastic import ENDPOINT_INPUTS
from im_client.services.model import Prepared
from im_client.services.prepare import check_name
from im_client.services.room import Needs, needs_of, quota_told, shortages
from im_client.services.server import changes
from im_client.services.server.bodies import TEMPLATES
from im_client.services.server.catalogue import Offer
from im_client.services.server.lending import of_caller
from im_client.services.server.reserved import is_file_of_this_computer
from im_client.services.server.rights import may_create, require_creator
from im_client.services.server.sessions import Draft
from im_client.services.templates import StoredReader
from im_client.template.analysis import InputDefinition
from im_client.template.problems import InvalidTemplate, Level
from infracore.errors import InfraError, InvalidUsage
from infracore.secrets import Secret

__all__ = ["ROUTES"]

_LONGEST_NAME: Final = 40
_MOST_KEPT: Final = 500
"""Steps of a plan that is kept from the form to its page; a larger one is made again."""


def _catalogue(visit: Visit) -> Response:
    words = visit.asked("q")
    offers = visit.around.catalogue.all()
    values: dict[str, Any] = {
        "q": words,
        "found": [(offer, [offers[name] for name in offer.add_ons]) for offer in visit.around.catalogue.search(words)],
        "may_create": may_create(visit.caller),
    }
    return visit.render("catalogue_cards.html" if visit.is_partial else "catalogue.html", **values)


def _ask(visit: Visit) -> Response:
    require_creator(visit.caller)
    draft = visit.session.draft(visit.asked("draft")) if visit.asked("draft") else None
    offer = visit.around.catalogue.find(visit.path("name"))
    chosen = draft.add_ons if draft is not None else tuple(visit.request.query_params.getlist("add"))
    add_ons = _add_ons(visit, offer, chosen)
    definitions = _definitions(visit, offer, add_ons)
    said = draft.said if draft is not None else {}
    return _form(visit, offer, add_ons, fields_of(definitions, said), name=draft.name if draft is not None else "")


def _add_ons(visit: Visit, offer: Offer, names: Sequence[str]) -> list[Offer]:
    return [visit.around.catalogue.find(name) for name in dict.fromkeys(names) if name in offer.add_ons]


def _definitions(visit: Visit, offer: Offer, add_ons: Sequence[Offer]) -> Mapping[str, InputDefinition]:
    """Return the inputs. What the server's owner offers is read here, not in a child: nothing of a caller is in it.

    Those that the server would refuse, or says itself, are left out: they keep their defaults.

    Raises:
        InvalidTemplate: they cannot be made out.
    """
    location = f"{TEMPLATES}form/template.yaml"
    more = {f"{TEMPLATES}form/add-on-{number}.yaml": one.text for number, one in enumerate(add_ons, start=1)}
    reader = StoredReader({location: offer.text, **more}, visit.house.ctx.reader())
    analysis = analyse(location, reader, add_ons=tuple(more), require_inputs=False)
    if not analysis.inputs and any(problem.level is Level.ERROR for problem in analysis.problems):
        raise InvalidTemplate(analysis.problems)
    return {name: one for name, one in analysis.inputs.items() if not _is_ours_to_say(visit, one)}


def _is_ours_to_say(visit: Visit, definition: InputDefinition) -> bool:
    if definition.default not in ("", Secret("")):
        return False
    if definition.name in ENDPOINT_INPUTS:
        return visit.house.endpoints.are_given
    return is_file_of_this_computer(definition.name) and not visit.house.ctx.settings.server.foreign_playbooks


def _form(
    visit: Visit,
    offer: Offer,
    add_ons: Sequence[Offer],
    fields: Sequence[Field],
    *,
    name: str = "",
    name_error: str = "",
    errors: Sequence[str] = (),
    status: int = 200,
) -> Response:
    tabs = _shared_out((offer, *add_ons), {field.name: field for field in fields})
    catalogue = visit.around.catalogue.all()
    return visit.render(
        "form.html",
        status,
        offer=offer,
        choices=[(catalogue[one], catalogue[one] in add_ons) for one in offer.add_ons],
        add_ons=[one.name for one in add_ons],
        tabs=tabs,
        name=name,
        name_error=name_error,
        errors=errors,
        wrong=[field for field in fields if field.error],
        longest=_LONGEST_NAME,
    )


def _shared_out(offers: Sequence[Offer], fields: Mapping[str, Field]) -> list[tuple[str, list[Field]]]:
    """Share the fields out among the tabs of a template and its add-ons; what none takes comes last.

    An add-on chooses before the template, whose patterns were not written with it in mind; its tabs come behind.
    """
    left = dict(fields)
    found: list[list[tuple[str, list[Field]]]] = []
    for offer in reversed(offers):
        tabbed = offer.tabbed(left)
        found.insert(0, [(title, [left.pop(name) for name in names]) for title, names in tabbed])
    tabs: dict[str, list[Field]] = {}
    for title, mine in (tab for one in found for tab in one):
        tabs.setdefault(title, []).extend(mine)
    if left:
        tabs.setdefault("Other settings" if tabs else "Settings", []).extend(left.values())
    return list(tabs.items())


def _fill_in(visit: Visit) -> Response:
    require_creator(visit.caller)
    offer = visit.around.catalogue.find(visit.path("name"))
    add_ons = _add_ons(visit, offer, visit.form.get("add", ()))
    definitions = _definitions(visit, offer, add_ons)
    said = {name.removeprefix("in:"): visit.said(name) for name in visit.form if name.startswith("in:")}
    inputs, fields = read_fields(definitions, said)
    name = visit.said("name").strip()
    name_error = _name_error(name)
    if visit.said("add_ons_only"):  # another set of add-ons has other inputs: nothing is judged yet
        return _form(visit, offer, add_ons, fields_of(definitions, said), name=name)
    draft = Draft(offer.name, tuple(one.name for one in add_ons), name, said, inputs)
    errors: list[str] = []
    try:
        prepared = _prepare(visit, replace(draft, name="") if name_error else draft)
        if len(prepared.plan.steps) <= _MOST_KEPT:
            draft.prepared = prepared
    except InvalidTemplate as error:
        fields, errors = with_problems(fields, definitions, error.problems)
    except InfraError as error:
        errors = [f"{error.message}. {error.hint}" if error.hint else error.message]
    if errors or name_error or any(field.error for field in fields):
        return _form(visit, offer, add_ons, fields, name=name, name_error=name_error, errors=errors, status=422)
    return visit.go(f"/drafts/{visit.session.put(draft)}")


def _name_error(name: str) -> str:
    try:
        if name:
            check_name(name)
    except InvalidUsage as error:
        return f"This is no name: {error.hint}."
    return f"{_LONGEST_NAME} characters at the most." if len(name) > _LONGEST_NAME else ""


def _body(visit: Visit, draft: Draft) -> changes.Body:
    find = visit.around.catalogue.find
    return changes.Body(
        find(draft.template).text,
        add_ons=tuple(find(name).text for name in draft.add_ons),
        inputs=draft.inputs,
        name=draft.name or None,
    )


def _prepare(visit: Visit, draft: Draft) -> Prepared:
    return changes.preview(visit.house, visit.caller, _body(visit, draft))


def _preview(visit: Visit) -> Response:
    require_creator(visit.caller)
    key = visit.path("draft")
    draft = visit.session.draft(key)
    if draft.infrastructure:
        return visit.go(f"/infrastructures/{draft.infrastructure}")
    prepared = draft.prepared or _prepare(visit, draft)
    record = prepared.infrastructure
    ctx = of_caller(visit.house, visit.caller).ctx
    provider = ctx.provider(record.provider, record.provider_settings)
    needs = needs_of(prepared.plan, prepared.forecast.choices)
    return visit.render(
        "preview.html",
        key=key,
        draft=draft,
        offer=visit.around.catalogue.find(draft.template),
        name=record.name.rsplit("-", 1)[0],
        prepared=prepared,
        summary=summary(prepared.plan),
        rows=_rows(prepared.plan),
        needs=needs,
        choices=[choice for choice in prepared.forecast.choices if choice.offer.size or choice.offer.image],
        shares=_shares(quota_told(provider), needs),
        shortages=shortages(ctx, prepared),
        limits=provider.limits(),
        drawing=draw(prepared.topology),
    )


def _rows(plan: Plan) -> list[dict[str, Any]]:
    return [
        {"action": step.action.value, "node": step.node, "why": step.reason.text, "details": details(step)}
        for step in plan.steps
    ]


def _shares(quota: Quota | None, needs: Needs) -> list[dict[str, Any]]:
    """Put beside what is needed what is used and what there is, where the provider tells."""
    if quota is None:
        return []
    return [
        {"what": what, "need": need, "used": share.used, "limit": share.limit, "left": share.left, "is_size": is_size}
        for what, need, share, is_size in (
            ("machines", needs.machines, quota.machines, False),
            ("CPUs", needs.cpus, quota.cpus, False),
            ("memory", needs.memory_bytes, quota.memory_bytes, True),
            ("disks", needs.disk_bytes, quota.disk_bytes, True),
        )
        if share.used is not None or share.limit is not None
    ]


def _deploy(visit: Visit) -> Response:
    require_creator(visit.caller)
    draft = visit.session.draft(visit.path("draft"))
    with draft.lock:  # a second click deploys nothing more
        if not draft.infrastructure:
            draft.infrastructure = changes.create(visit.house, visit.caller, _body(visit, draft)).infrastructure
    return visit.go(f"/infrastructures/{draft.infrastructure}", "It is recorded; its machines come by and by.")


ROUTES: Final[Sequence[Route]] = (
    Route("/catalogue", page(_catalogue), methods=["GET"]),
    Route("/templates/{name}", page(_ask), methods=["GET"]),
    Route("/templates/{name}", page(_fill_in), methods=["POST"]),
    Route("/drafts/{draft}", page(_preview), methods=["GET"]),
    Route("/drafts/{draft}/deploy", page(_deploy), methods=["POST"]),
)
