"""`im image save`: stop a configured machine, save it, start it again."""

import dataclasses
import re
import threading

from im_client.plan.model import Phase
from im_client.providers.base import Provider
from im_client.providers.images import ImageKeeper, ImageRequest, SavedImage
from im_client.providers.scrub import check_patterns
from im_client.services.context import Context
from im_client.services.golden import image_keeper
from im_client.services.known import access_of
from im_client.services.model import ApplyReport, Verb
from im_client.services.power import power
from im_client.services.prepare import find
from im_client.services.reading import choose_node
from im_client.services.scrubbing import check_scrub
from im_client.services.sites import Sites
from im_client.state.store import InfrastructureRecord, NodeRecord, RunState
from infracore.errors import CommandFailed, Conflict, InvalidUsage
from infracore.events import Event, EventKind, Listener

__all__ = ["SavePlan", "SaveRequest", "check_ready", "check_running", "check_save", "save_image", "use_image"]


@dataclasses.dataclass(frozen=True, slots=True)
class SaveRequest:
    """What the user says."""

    infra: str
    machine: str
    name: str | None = None
    """None: the infrastructure's name with the group's."""
    without: tuple[str, ...] = ()
    """Paths that do not go into the image, beside those that never do."""
    use: bool = False
    """Whether the group's new machines start from it from now on."""
    unscrubbed: bool = False
    """Whether to save secrets and identity too, where a provider does not remove them by itself."""


@dataclasses.dataclass(frozen=True, slots=True)
class SavePlan:
    """A request that can be carried out."""

    record: InfrastructureRecord
    node: NodeRecord
    image: ImageRequest
    is_running: bool
    use: bool
    unscrubbed: bool = False


def check_save(ctx: Context, request: SaveRequest) -> SavePlan:
    """Look whether a machine can be saved, changing nothing.

    Raises:
        InvalidUsage: a name or path that cannot be. Unsupported: its provider keeps no images.
        Conflict: the machine is not configured, or the name is taken.
    """
    record = find(ctx, request.infra)
    node = choose_node(record, ctx.store.nodes(record.id), request.machine)
    provider = Sites(ctx, record).at(node.provider)
    keeper = image_keeper(provider, node.provider)
    name = _name(request.name or f"{record.name}-{node.group}", given=request.name is not None)
    if any(name in {image.name, image.id} for image in keeper.list_images()):
        raise Conflict(f"there is a golden image {name!r} already", "choose another --name, or delete it")
    check_ready(record, node)
    image = ImageRequest(
        name=name,
        provider_id=node.provider_id or "",
        infrastructure=record.id,
        machine=node.name,
        group=node.group,
        now=ctx.clock.now(),
        scrub=check_patterns(request.without),
    )
    if request.unscrubbed and keeper.scrubs_images:
        raise InvalidUsage(f"{node.provider} removes secrets from images by itself", "leave --unscrubbed out")
    if request.unscrubbed:
        is_running = provider.get(image.provider_id).phase is Phase.RUNNING
    else:
        is_running = check_running(keeper, provider, record, node)
    return SavePlan(record, node, image, is_running, request.use, request.unscrubbed)


def check_running(keeper: ImageKeeper, provider: Provider, record: InfrastructureRecord, node: NodeRecord) -> bool:
    """Say whether a machine runs. Where its files are removed over ssh it must, and let itself be scrubbed.

    One whose saving was broken off counts as running: `save_image` starts it anew.
    """
    machine = provider.get(node.provider_id or "")
    is_running = machine.phase is Phase.RUNNING
    if keeper.scrubs_images or _is_broken_off(provider, record, node):
        return is_running or not keeper.scrubs_images
    if not is_running:
        raise Conflict(
            f"{node.name} is {machine.phase}: secrets are removed from it over ssh before it is saved",
            f"run: im start {record.name} {node.name}",
        )
    check_scrub(access_of(record, node, machine) if provider.limits().reachable else None, node.name)
    return is_running


def check_ready(record: InfrastructureRecord, node: NodeRecord) -> None:
    """Raise Conflict where a machine is in no state that is worth saving."""
    if node.phase not in {Phase.CONFIGURED, Phase.STOPPED}:
        raise Conflict(f"{node.name} is {node.phase}, not configured", f"run: im reconfigure {record.name} {node.name}")


def save_image(
    ctx: Context, plan: SavePlan, *, listener: Listener, cancel: threading.Event, wait_s: float = 0.0
) -> SavedImage:
    """Save a machine. One that runs is stopped before (its stop hooks run) and started and configured again after.

    Raises:
        CommandFailed: the machine could not be scrubbed or stopped, or not be started again; the message says which.
        Conflict, NoCapacity, Locked: see `ImageKeeper.save_image`; the machine runs again then.
    """
    record, name = plan.record, plan.node.name
    provider = Sites(ctx, record).at(plan.node.provider)
    keeper = image_keeper(provider, plan.node.provider)
    again = f"im start {record.name} {name}"
    if plan.is_running:
        scrub = None if keeper.scrubs_images or plan.unscrubbed else plan.image.scrub
        if scrub is not None and _is_broken_off(provider, record, plan.node):
            _make_anew(ctx, plan, listener=listener, cancel=cancel, wait_s=wait_s)
        report = power(ctx, record.id, Verb.STOP, [name], listener=listener, cancel=cancel, wait_s=wait_s, scrub=scrub)
        _must_be_done(report, f"{name} could not be stopped", f"nothing was saved; if it is stopped: {again}")
    try:
        with ctx.locks.hold(record.id, "image", wait_s=wait_s, clock=ctx.clock, cancel=cancel, name=record.name):
            listener(Event(ctx.clock.now(), EventKind.NOTE, name, "save", f"its files are copied to {plan.image.name}"))
            saved = keeper.save_image(plan.image)
        if plan.use:
            use_image(ctx, record.id, plan.node.group, saved.name, cancel=cancel, wait_s=wait_s)
    finally:
        if plan.is_running:
            report = power(ctx, record.id, Verb.START, [name], listener=listener, cancel=cancel, wait_s=wait_s)
    if plan.is_running:
        _must_be_done(report, f"the image {saved.name} is saved, but {name} does not run again", f"run: {again}")
    return saved


def _is_broken_off(provider: Provider, record: InfrastructureRecord, node: NodeRecord) -> bool:
    """Say whether a machine was being scrubbed when that was broken off: nobody knows the host key it will show."""
    access = access_of(record, node, provider.get(node.provider_id or ""))
    is_known = access is None or access.host_key is not None or access.known_hosts_file is not None
    return provider.limits().reachable and not is_known


def _make_anew(ctx: Context, plan: SavePlan, *, listener: Listener, cancel: threading.Event, wait_s: float) -> None:
    """Restart a machine that is scrubbed in part, and may let nobody in: it makes its keys anew, and is configured.

    Its stop hooks have run before it was scrubbed. It is stopped and started, since one that restarts may still show
    its old host key.
    """
    record, name = plan.record, plan.node.name
    listener(Event(ctx.clock.now(), EventKind.NOTE, name, "save", "an earlier save was broken off: it is begun anew"))
    report = power(ctx, record.id, Verb.STOP, [name], listener=listener, cancel=cancel, wait_s=wait_s, has_hooks=False)
    _must_be_done(report, f"{name} could not be stopped", "run the same command again")
    report = power(ctx, record.id, Verb.START, [name], listener=listener, cancel=cancel, wait_s=wait_s)
    _must_be_done(report, f"{name} does not run again", f"nothing was saved; run: im start {record.name} {name}")


def use_image(
    ctx: Context, infra: str, group: str, image: str, *, cancel: threading.Event, wait_s: float = 0.0
) -> None:
    """Record which image the new machines of a group start from; "" is none."""
    record = find(ctx, infra)
    with ctx.locks.hold(record.id, "image", wait_s=wait_s, clock=ctx.clock, cancel=cancel, name=record.name):
        source = ctx.store.infrastructure(record.id).source
        images = {**source.images, group: image}
        ctx.store.set_source(record.id, dataclasses.replace(source, images=images), ctx.clock.now())


def _must_be_done(report: ApplyReport, what: str, hint: str) -> None:
    if report.state is not RunState.DONE:
        reasons = [node.error for node in report.nodes if node.error]
        raise CommandFailed(f"{what}: {'; '.join(reasons) or report.state}", hint)


def _name(text: str, *, given: bool) -> str:
    name = text if given else re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-")
    if re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name) is None:
        raise InvalidUsage(f"{name!r} is no name of an image", "use a-z, 0-9 and hyphens, 40 at most")
    return name
