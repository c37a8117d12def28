"""Making the image of a machine that a caller asked for, and deleting images with their infrastructure.

A server may be killed at any point of it. Whether the machine ran is written down before it is stopped, and the image
has a name of its own: who goes on saves what is not saved yet, and starts what must run again.
"""

import logging
import threading
from typing import Final

from im_client.plan.model import Phase
from im_client.providers.images import ImageKeeper, ImageRequest
from im_client.services.context import Context
from im_client.services.golden import image_keeper
from im_client.services.model import ApplyReport, NodeReport, Verb
from im_client.services.power import power
from im_client.services.saving import SavePlan, check_ready, check_running, save_image
from im_client.services.sites import Sites
from im_client.state.server import ImageRecord, OperationRecord, ServerStore
from im_client.state.store import InfrastructureRecord, NodeRecord, RunState
from infracore.errors import InfraError, NotFound
from infracore.events import Listener

__all__ = ["drop_images", "take_snapshot"]

_LOG: Final = logging.getLogger(__name__)


def take_snapshot(
    ctx: Context,
    records: ServerStore,
    operation: OperationRecord,
    *,
    listener: Listener,
    cancel: threading.Event,
    wait_s: float,
) -> ApplyReport:
    """Save the machine, or go on where that was broken off. One that ran runs again after.

    Raises:
        NotFound: the machine, or the record of the image, went meanwhile.
        Conflict, CommandFailed, NoCapacity: see `save_image`.
    """
    image = records.image_by(operation.id)
    record = ctx.store.infrastructure(operation.infrastructure)
    node = next((one for one in ctx.store.nodes(record.id) if image is not None and one.name == image.node), None)
    if image is None or node is None:
        raise NotFound("the machine to be saved is not there any more")
    began = ctx.clock.monotonic()
    provider = Sites(ctx, record).at(node.provider)
    keeper = image_keeper(provider, node.provider)
    restart = image.restart
    if restart is None:
        check_ready(record, node)
        restart = check_running(keeper, provider, record, node)
        records.set_restart(operation.id, restart)
    if not _is_there(keeper, image):
        plan = SavePlan(record, node, _request(ctx, record, node, image), is_running=restart, use=False)
        save_image(ctx, plan, listener=listener, cancel=cancel, wait_s=wait_s)
    elif restart:
        report = power(ctx, record.id, Verb.START, [node.name], listener=listener, cancel=cancel, wait_s=wait_s)
        if report.state is not RunState.DONE:
            return report
    runs = ctx.store.runs(record.id)
    return ApplyReport(
        infrastructure=record.id,
        name=record.name,
        run=runs[0].id if restart and runs else "",
        verb=Verb.START,
        state=RunState.DONE,
        nodes=(NodeReport(node.name, True, Phase.CONFIGURED if restart else node.phase),),
        outputs={},
        timings=(),
        log_dir="",
        elapsed_s=ctx.clock.monotonic() - began,
    )


def drop_images(ctx: Context, records: ServerStore, infrastructure: str) -> None:
    """Delete the images that were to go with an infrastructure which is destroyed. May be repeated.

    One that cannot be deleted, since machines of another infrastructure stand on it, stays its owner's.
    """
    for image in records.images_of(infrastructure):
        if not image.auto_delete:
            continue
        try:
            keeper = image_keeper(ctx.provider(image.site), image.site)
            for found in keeper.list_images():
                if found.name == image.name:
                    keeper.delete_image(found.id)
        except InfraError as error:
            _LOG.warning("the image %s at %s stays: %s", image.name, image.site, error)
        else:
            records.remove_image(image.operation)


def _is_there(keeper: ImageKeeper, image: ImageRecord) -> bool:
    return any(one.name == image.name for one in keeper.list_images())


def _request(ctx: Context, record: InfrastructureRecord, node: NodeRecord, image: ImageRecord) -> ImageRequest:
    return ImageRequest(
        name=image.name,
        provider_id=node.provider_id or "",
        infrastructure=record.id,
        machine=node.name,
        group=node.group,
        now=ctx.clock.now(),
    )
