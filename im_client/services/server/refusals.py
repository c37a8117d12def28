"""What a change is refused for, once it is planned and before anything of it is recorded."""

import dataclasses
from collections.abc import Collection
from typing import Final

from im_client.plan.model import Action, Plan, ReasonCode
from im_client.services.model import Prepared, Verb
from im_client.services.prepare import prepare_changed
from im_client.services.server.bodies import TEMPLATES
from im_client.services.server.callers import Caller
from im_client.services.server.house import House
from im_client.services.server.images import Usable, usable_images
from im_client.services.server.rights import Forbidden
from im_client.services.server.strangers import refuse_where_run
from im_client.state.server import Outdated, Role
from im_client.state.store import InfrastructureRecord
from infracore.errors import Conflict, QuotaExceeded

__all__ = [
    "check_asked",
    "check_kept",
    "check_only",
    "check_scale",
    "check_share",
    "check_version",
    "is_of_caller",
    "made_by",
]

_NAMED: Final = 5
"""So many machines are named in an error."""


def check_version(house: House, infra: str, if_version: int | None) -> None:
    """Raise Outdated where the client saw another version; None: it does not care."""
    if if_version is not None and if_version != house.records.source_version(infra):
        raise Outdated("the infrastructure has changed", "read it again and repeat this with the new ETag")


def check_asked(house: House, caller: Caller, prepared: Prepared, changed: str | None = None) -> None:
    """Refuse what strangers may not ask for. What an infrastructure had before it is changed, it may keep."""

    def images(wanted: Collection[str]) -> Usable:
        before = house.topology(changed).groups.values() if changed is not None else ()
        had = {group.golden_image for group in before if group.golden_image}
        usable = usable_images(house, caller, [image for image in wanted if image not in had])
        return dataclasses.replace(usable, names=usable.names | had)

    refuse_where_run(house.ctx, prepared.infrastructure, prepared.topology, images)


def is_of_caller(record: InfrastructureRecord) -> bool:
    """Whether a caller sent the template; else the server's owner deployed it with `im`, and may run anything."""
    return record.source.template.startswith(TEMPLATES)


def check_share(house: House, caller: Caller, infra: str, prepared: Prepared) -> None:
    """Raise QuotaExceeded where the change makes machines and an owner would have more than one account may."""
    most = house.ctx.settings.server.most_machines
    if not most or caller.is_admin or not made_by(prepared.plan):
        return
    wanted = sum(group.count for group in prepared.topology.groups.values())
    owners = [account for account, role in house.records.members(infra).items() if role is Role.OWNER]
    for owner in owners or [caller.name]:
        others = [other for other, role in house.records.memberships(owner).items() if role is Role.OWNER]
        has = sum(len(house.records.vm_numbers(other)) for other in others if other != infra)
        if has + wanted > most:
            raise QuotaExceeded(
                f"{owner} would have {has + wanted} machines, and one account has {most} at the most",
                "remove some first; whoever runs this server sets server.most_machines",
            )


def check_only(plan: Plan, name: str) -> None:
    """Refuse what changes another machine than the one of a name."""
    others = sorted({step.node for step in plan.steps if step.action is not Action.CONFIGURE} - {name})
    if others:
        raise Conflict(
            f"this would also change {', '.join(others[:_NAMED])}: machines of one node template are alike",
            "change the template of the infrastructure",
        )


def check_kept(plan: Plan) -> None:
    """Refuse what would delete machines that are well, with all that is on them, to make them anew."""
    lost = [s for s in plan.steps if s.action is Action.REPLACE and any(c.forces_replace for c in s.changes)]
    lost = [step for step in lost if step.reason.code is ReasonCode.CHANGED]
    if lost:
        names = [step.node for step in lost]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        raise Conflict(
            f"this would delete {', '.join(names[:_NAMED])}{more} and make them anew: {lost[0].reason.text}",
            "nothing was changed; replace=yes in the query (im: -o remote.replace=yes) does it: all on them is lost",
        )


def check_scale(house: House, record: InfrastructureRecord, prepared: Prepared) -> None:
    """Refuse a change of anything but counts: the topologies are the same when their groups have the same counts."""
    before = prepare_changed(house.ctx, record.id, record.source, Verb.SCALE, configure=False).topology
    after = prepared.topology
    even = {
        name: dataclasses.replace(
            group, count=after.groups[name].count, removal_list=after.groups[name].removal_list, where=None
        )
        for name, group in before.groups.items()
        if name in after.groups
    }
    now = {name: dataclasses.replace(group, where=None) for name, group in after.groups.items()}
    done = [dataclasses.replace(operation, where=None) for operation in before.operations]
    if even != now or done != [dataclasses.replace(operation, where=None) for operation in after.operations]:
        raise Forbidden(f"the role {Role.SCALER} changes numbers of machines, nothing else")


def made_by(plan: Plan) -> tuple[str, ...]:
    """Return the machines that come by a plan."""
    return tuple(step.node for step in plan.steps if step.action is Action.CREATE)
