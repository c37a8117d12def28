"""`im scale`."""

import click

from im_client.cli.change import SEE_PLAN, carry_out, wait_option
from im_client.cli.session import complete_infrastructure, opened, stream_option, which, yes_option
from infracore.cli.console import needs_answer, say
from infracore.cli.lazy import ExampleCommand
from infracore.errors import InvalidUsage

__all__ = ["command", "parse_words"]


@click.command(
    "scale",
    cls=ExampleCommand,
    short_help="Change how many machines of a kind there are.",
    examples=(
        ("im scale demo worker=3", "Have three workers; only what is new or goes is touched."),
        ("im scale demo worker=1 --remove worker-2 -y", "Choose who goes, and ask nothing."),
        ("im scale demo worker=5 --image demo-worker", "New workers start from a golden image, from now on."),
    ),
)
@click.argument("words", nargs=-1, required=True, metavar="[INFRA] NODE=N...", shell_complete=complete_infrastructure)
@click.option(
    "--remove", multiple=True, metavar="NAME", help="A machine that goes first; without NODE=N the count falls by one."
)
@click.option(
    "--image",
    metavar="NAME",
    help="Golden image that new machines of each NODE start from, from now on; `none` for none.",
)
@yes_option
@wait_option
@stream_option
def command(
    words: tuple[str, ...],
    remove: tuple[str, ...],
    *,
    image: str | None,
    yes: bool,
    wait_s: float | None,
    as_json: bool,
) -> int:
    """Change how many machines of a kind there are.

    Scaling in runs the hooks of the template, then removes the newest machines or those that --remove names.
    INFRA may be left out only where exactly one infrastructure exists.
    """
    import shlex

    from im_client.services.prepare import prepare_scale
    from im_client.services.reading import show
    from im_client.services.room import with_room

    named, counts = parse_words(words, remove)
    if image is not None and not counts:
        raise InvalidUsage("which machines start from the image?", f"example: im scale demo worker=3 --image {image}")
    images = dict.fromkeys(counts, "" if image == "none" else image) if image is not None else {}
    needs_answer(yes, also=SEE_PLAN)
    with opened() as ctx:
        name = show(ctx, which(ctx, named)).record.name
        if named is None:
            say(f"infrastructure {name}, the only one there is")
        sizes = [f"{group}={count}" for group, count in counts.items()]
        removed = [word for one in remove for word in ("--remove", one)]
        chosen = ["--image", image] if image is not None else []
        return carry_out(
            ctx,
            with_room(ctx, prepare_scale(ctx, name, counts, remove, images=images)),
            again=shlex.join(["im", "scale", name, *sizes, *removed, *chosen]),
            question=f"Scale {name} so?",
            yes=yes,
            as_json=as_json,
            wait_s=wait_s,
        )


def parse_words(words: tuple[str, ...], remove: tuple[str, ...]) -> tuple[str | None, dict[str, int]]:
    """Return the infrastructure that is named, if one is, and the numbers of machines.

    Raises:
        InvalidUsage: words that are neither; nothing that would change.
    """
    named = [word for word in words if "=" not in word]
    if len(named) > 1:
        raise InvalidUsage(f"{named[1]!r} is not NODE=N", "example: im scale demo worker=3")
    counts = dict(_count(word) for word in words if "=" in word)
    if not counts and not remove:
        raise InvalidUsage("how many machines?", "example: im scale demo worker=3")
    return (named[0] if named else None), counts


def _count(word: str) -> tuple[str, int]:
    group, _, number = word.partition("=")
    if not group or not number.isascii() or not number.isdigit():
        raise InvalidUsage(
            f"{word!r} is not NODE=N, where N is a number of machines", "example: im scale demo worker=3"
        )
    return group, int(number)
