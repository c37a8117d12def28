"""`im outputs`."""

import click

from im_client.cli.session import infra_argument, json_option, opened, which
from infracore.cli.console import print_data, print_json, print_text, say
from infracore.cli.lazy import ExampleCommand
from infracore.errors import NotFound

__all__ = ["command"]


@click.command(
    "outputs",
    cls=ExampleCommand,
    short_help="Print the outputs of an infrastructure.",
    examples=(
        ("im outputs demo", "All outputs; secrets are shown as ***."),
        ("im outputs demo front_ip", "One value alone, for a script."),
        ("im outputs demo --json --reveal", "All, secrets in clear, for a program."),
    ),
)
@infra_argument
@click.argument("name", required=False)
@click.option("--reveal", is_flag=True, help="Print secrets in clear.")
@json_option
def command(infra: str | None, name: str | None, reveal: bool, as_json: bool) -> None:
    """Print the outputs of the last run, or the one that is called NAME."""
    from im_client.cli.shapes import value_shape
    from im_client.services.reading import outputs

    with opened() as ctx:
        found = outputs(ctx, which(ctx, infra), reveal=reveal)
    if name is not None:
        if name not in found:
            raise NotFound(f"there is no output {name!r}", f"there are: {', '.join(found) or 'none'}")
        if as_json:
            print_json(value_shape(found[name]))
        else:
            from im_client.cli.values import value_text
            from infracore.cli.text import clean_lines

            print_text(clean_lines(value_text(found[name])))
    elif as_json:
        print_json(value_shape(found))
    elif found:
        from im_client.cli.tables import outputs_table

        print_data(outputs_table(found))
    else:
        say("there are no outputs")
