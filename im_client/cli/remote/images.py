"""`im image`, asked of a server."""

from typing import Any

from rich.table import Table

from im_client.cli.interrupt import interruptible
from im_client.cli.progress import progress
from im_client.cli.remote.changing import refuse_wait
from im_client.cli.remote.session import again, opened
from im_client.services.remote import images
from im_client.services.remote.images import Image
from im_client.services.remote.reading import find
from infracore.cli.console import ask, needs_answer, print_data, print_json, say
from infracore.cli.tables import bare_table, cell
from infracore.cli.text import clean
from infracore.errors import Unsupported
from infracore.exitcodes import ExitCode

__all__ = ["image_delete_", "image_list_", "image_save_", "image_show_"]


def image_save_(
    *,
    infra: str,
    machine: str,
    name: str | None,
    without: tuple[str, ...],
    use: bool,
    unscrubbed: bool,
    yes: bool,
    wait_s: float | None,
    as_json: bool,
) -> int:
    """`im image save`: the server stops the machine, saves its first disk, and starts it again."""
    refuse_wait(wait_s)
    if without:
        raise Unsupported("a server decides itself what is left out of an image", "leave --without out")
    if unscrubbed:
        raise Unsupported("a server decides itself what is left out of an image", "leave --unscrubbed out")
    if use:
        raise Unsupported(
            "a server's machines start from the image that their template names",
            "leave --use out; then write the image's address into the template, and run im deploy",
        )
    needs_answer(yes)
    with opened() as session:
        server = session.server
        found = find(server, infra)
        one = images.machine_of(server, found, machine)
        title = name or f"{infra}-{one.group or one.name}"
        say(f"{clean(one.name)} of {clean(infra)} becomes the image {clean(title)}; it is stopped meanwhile")
        if not ask("Do this?", yes):
            say("nothing was changed")
            return ExitCode.FAILED
        later = again("start", found, one.name)
        with progress(as_json=False) as listener, interruptible(listener.notice, again=later) as cancel:
            saved = images.save(server, found, one, title, listener=listener, cancel=cancel)
    say(f"to use it, let the template say: image: {clean(saved.address)}")
    _show(saved, as_json=as_json)
    return ExitCode.DONE


def image_list_(*, as_json: bool) -> None:
    """`im image list`: those that the caller may use, at each cloud of the auth file."""
    with opened() as session:
        listed = images.images(session.server)
    for cloud, error in listed.silent.items():
        say(f"{clean(cloud)} could not be asked: {clean(error.message)}")
    if as_json:
        print_json({"images": [_shape(one) for one in listed.images]})
    elif listed.images:
        print_data(_table(listed.images))
    elif not listed.silent:
        say("there is no image; im image save makes one")


def image_show_(*, name: str, site: str | None, verify: bool, as_json: bool) -> int:
    """`im image show`: a server tells name and address of an image."""
    if verify:
        raise Unsupported("a server does not say whether an image is as it was saved", "leave --verify out")
    with opened() as session:
        found = images.find_image(session.server, name, site)
    _show(found, as_json=as_json)
    return ExitCode.DONE


def image_delete_(*, name: str, site: str | None, yes: bool) -> int:
    """`im image delete`: one of the caller's own."""
    needs_answer(yes)
    with opened() as session:
        found = images.find_image(session.server, name, site)
        if not ask(f"Delete the image {clean(found.name)} of {clean(found.cloud)}?", yes):
            say("nothing was changed")
            return ExitCode.FAILED
        images.delete(session.server, found)
    say(f"{clean(found.name)} is deleted")
    return ExitCode.DONE


def _show(image: Image, *, as_json: bool) -> None:
    if as_json:
        print_json(_shape(image))
    else:
        print_data(_table((image,)))


def _table(found: tuple[Image, ...]) -> Table:
    table = bare_table("IMAGE", "CLOUD", "ADDRESS")
    for one in found:
        table.add_row(cell(one.name, "bold"), cell(one.cloud), cell(one.address))
    return table


def _shape(image: Image) -> dict[str, Any]:
    """Return the members of a local image; null is what a server does not say."""
    unsaid = ("group", "infrastructure", "machine", "created_at", "size_bytes", "system", "sha256", "private")
    return {
        "site": image.cloud or None,
        "id": image.address,
        "name": image.name,
        **dict.fromkeys(unsaid),
        "is_ready": True,
        "removed": None,
    }
