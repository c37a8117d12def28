"""What differs between the machine that was recorded and the one that is wanted."""

from dataclasses import replace

from im_client.plan.model import Change, Limits, Spec, SpecInterface, SpecVolume
from im_client.plan.specs import SPEC_FIELDS, describe_field

__all__ = ["spec_changes"]


def spec_changes(before: Spec, after: Spec, limits: Limits) -> tuple[Change, ...]:
    """List the properties that differ and mark those that the provider cannot change on a living machine.

    What the wanted machine leaves open (None) is no change. Names in the DNS are no property of the machine
    itself, and the order of its disks does not matter; the order of its network cards does.
    """
    if before is after:
        return ()
    changeable = limits.in_place | (limits.in_place_stopped if limits.can_stop else frozenset())
    changes: list[Change] = []
    for name in SPEC_FIELDS:
        old, new = getattr(before, name), getattr(after, name)
        if old is new or new is None or old == new:
            continue
        if name == "interfaces" and _same_cards(old, new):
            continue
        if name == "volumes" and _same_disks(old, new):
            continue
        if name == "board" and new.items() <= old.items():
            continue
        changes.append(
            Change(
                property=name,
                before=describe_field(name, old),
                after=describe_field(name, new),
                forces_replace=name not in changeable,
            )
        )
    return tuple(changes)


def _same_cards(before: tuple[SpecInterface, ...], after: tuple[SpecInterface, ...]) -> bool:
    return len(before) == len(after) and all(
        old
        == replace(
            new,
            cidr=new.cidr or old.cidr,
            provider_name=new.provider_name or old.provider_name,
            fixed_address=new.fixed_address or old.fixed_address,
            dns_names=old.dns_names,
        )
        for old, new in zip(before, after, strict=True)
    )


def _same_disks(before: tuple[SpecVolume, ...], after: tuple[SpecVolume, ...]) -> bool:
    olds, news = {d.name: d for d in before}, {d.name: d for d in after}
    return olds.keys() == news.keys() and all(
        old
        == replace(
            news[name],
            mount_path=news[name].mount_path or old.mount_path,
            device=news[name].device or old.device,
            volume_id=news[name].volume_id or old.volume_id,
            type=news[name].type or old.type,
        )
        for name, old in olds.items()
    )
