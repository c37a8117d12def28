"""`im image`: golden images."""

from typing import TYPE_CHECKING, Any

import click

from im_client.cli.change import patience, wait_option
from im_client.cli.session import complete_infrastructure, json_option, opened, yes_option
from infracore.cli.console import ask, needs_answer, print_data, print_json, say
from infracore.cli.lazy import ExampleCommand, ExampleGroup
from infracore.cli.text import clean
from infracore.exitcodes import ExitCode

if TYPE_CHECKING:
    from im_client.providers.images import SavedImage
    from im_client.services.context import Context
    from im_client.services.golden import SiteImage

__all__ = ["command"]

_site_option = click.option("--site", metavar="NAME", help="Where the image is, if several have one of this name.")


@click.group(
    "image",
    cls=ExampleGroup,
    short_help="Keep configured machines as images that others start from.",
    examples=(
        ("im image save demo worker-1 --use", "Save a worker; new workers of demo start from it."),
        ("im image list", "The images that there are."),
    ),
)
def command() -> None:
    """Keep configured machines as golden images, so that the next ones start ready.

    Ansible runs on a machine that started from an image as on any other, and finds most of its work done.
    """


@command.command(
    "save",
    cls=ExampleCommand,
    short_help="Save a configured machine.",
    examples=(
        ("im image save demo worker-1 --use", "Stop it (its stop hooks run), save it, start it; use it from now on."),
        ("im image save demo worker-1 --name wn-2 --without /etc/app/secret.key -y", "With a name, and less in it."),
    ),
)
@click.argument("infra", shell_complete=complete_infrastructure)
@click.argument("machine")
@click.option(
    "--name", metavar="NAME", help="The image's name (default: the infrastructure's, with the machine's kind)."
)
@click.option("--without", multiple=True, metavar="PATH", help="What more is left out; * stands for a part of a name.")
@click.option("--use", is_flag=True, help="Let new machines of this kind start from it from now on.")
@click.option(
    "--unscrubbed", is_flag=True, help="Save secrets and identity too, at a cloud whose machine nobody can log in to."
)
@yes_option
@wait_option
@json_option
def save_command(
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
    """Save MACHINE of INFRA as a golden image. A machine that runs is stopped for it and then started again.

    Left out are the machine's own identity (host keys, machine-id, addresses, logs, leases) and secrets that roles put
    there again (SSH, munge and Kubernetes keys, tokens). Files that look private and stay are named.
    """
    import shlex

    from im_client.cli.interrupt import interruptible
    from im_client.cli.progress import progress
    from im_client.services.saving import SaveRequest, check_save, save_image

    needs_answer(yes)
    with opened() as ctx:
        plan = check_save(ctx, SaveRequest(infra, machine, name, without, use, unscrubbed))
        stops = "stop it, save it, start it again" if plan.is_running else "save it, stopped as it is"
        say(f"{plan.node.name} of {plan.record.name} becomes the golden image {plan.image.name}: {stops}")
        if unscrubbed:
            say("its secrets and keys are in the image: whoever may start machines from it can read them")
        if not ask("Do this?", yes):
            say("nothing was changed")
            return ExitCode.FAILED
        again = shlex.join(["im", "start", plan.record.name, plan.node.name])
        with progress(as_json=False) as listener, interruptible(listener.notice, again=again) as cancel:
            saved = save_image(ctx, plan, listener=listener, cancel=cancel, wait_s=patience(ctx, wait_s))
    for path in map(clean, saved.private):
        say(f"note: {path} is private and is in the image; --without {path} leaves it out")
    if not use:
        say(f"to use it: im scale {plan.record.name} {plan.node.group}=N --image {saved.name}")
    if as_json:
        print_json(_shape(plan.node.provider, saved))
    else:
        from im_client.cli.images import image_view

        print_data(image_view(plan.node.provider, saved))
    return ExitCode.DONE


@command.command(
    "list",
    cls=ExampleCommand,
    short_help="List the golden images.",
    examples=(
        ("im image list", "Those of the provider of your settings, of your sites and of your infrastructures."),
        ("im image list --json", "The same for a program."),
    ),
)
@json_option
def list_command(as_json: bool) -> None:
    """List the golden images, site by site, the newest first; of a site that cannot be asked is said why."""
    from im_client.services.golden import known_images

    with opened() as ctx:
        known = known_images(ctx)
    for site, error in known.silent.items():
        say(f"{clean(site)} could not be asked: {clean(error.message)}")
    if as_json:
        print_json({"images": [_shape(one.site, one.image) for one in known.images]})
    elif known.images:
        from im_client.cli.images import images_table

        print_data(images_table(known.images))
    elif not known.silent:
        say("there is no golden image; im image save makes one")


@command.command(
    "show",
    cls=ExampleCommand,
    short_help="Show one golden image.",
    examples=(
        ("im image show demo-worker", "What it was made from, its size and digest."),
        ("im image show demo-worker --verify", "Look at all its files, and say whether they are as they were saved."),
    ),
)
@click.argument("name")
@_site_option
@click.option("--verify", is_flag=True, help="Compare its files with its digest; ends with 1 where they differ.")
@json_option
def show_command(name: str, site: str | None, verify: bool, as_json: bool) -> int:
    """Show the golden image NAME."""
    with opened() as ctx:
        found = _find(ctx, name, site)
        problem = found.keeper.check_image(found.image.id) if verify else ""
    if as_json:
        print_json(_shape(found.site, found.image) | ({"problem": problem} if verify else {}))
    else:
        from im_client.cli.images import image_view

        print_data(image_view(found.site, found.image))
    if verify:
        say(f"error: {name}: {problem}" if problem else f"{name} is as it was saved")
    return ExitCode.FAILED if problem else ExitCode.DONE


@command.command(
    "delete",
    cls=ExampleCommand,
    short_help="Delete a golden image.",
    examples=(
        ("im image delete demo-worker", "Refused while machines stand on it."),
        ("im image delete demo-worker -y", "Ask nothing."),
    ),
)
@click.argument("name")
@_site_option
@yes_option
def delete_command(name: str, site: str | None, yes: bool) -> int:
    """Delete the golden image NAME. Infrastructures that name it make their machines without it from then on."""
    needs_answer(yes)
    with opened() as ctx:
        found = _find(ctx, name, site)
        if not ask(f"Delete the golden image {found.image.name} of {found.site}?", yes):
            say("nothing was changed")
            return ExitCode.FAILED
        found.keeper.delete_image(found.image.id)
    say(f"{found.image.name} is deleted")
    return ExitCode.DONE


def _find(ctx: "Context", name: str, site: str | None) -> "SiteImage":
    from im_client.services.golden import find_image

    return find_image(ctx, name, site)


def _shape(site: str, image: "SavedImage") -> dict[str, Any]:
    from im_client.cli.shapes import time_shape, value_shape

    return {"site": site, **value_shape(image), "created_at": time_shape(image.created_at)}
