"""`im`: the group of commands, and how its errors read."""

import logging
import sys
from collections.abc import Sequence

import click

from infracore.cli.console import say_error
from infracore.cli.lazy import LazyGroup
from infracore.cli.program import Program, version_option
from infracore.errors import InfraError

__all__ = ["SUMMARIES", "cli", "main"]

SUMMARIES = {
    "templates": "List, search and show templates.",
    "validate": "Check a template and say all that is wrong with it.",
    "plan": "Show what deploying a template would do, and change nothing.",
    "deploy": "Make the machines of a template and configure them.",
    "clone": "Make another infrastructure from the template and inputs of one.",
    "list": "List the infrastructures.",
    "show": "Show one infrastructure and its machines.",
    "outputs": "Print the outputs of an infrastructure.",
    "ssh": "Log in to a machine, or run a command on it.",
    "scp": "Copy files to a machine, or from one.",
    "logs": "Print what happened in a run, with Ansible's own log.",
    "inventory": "Print the machines as an Ansible inventory.",
    "scale": "Change how many machines of a kind there are.",
    "reconfigure": "Run the configuration of machines again.",
    "image": "Keep configured machines as images that others start from.",
    "flash": "Write cards for Raspberry Pis, each customised for its node.",
    "start": "Start machines that are stopped.",
    "stop": "Stop machines; their disks and addresses stay.",
    "reboot": "Restart machines.",
    "refresh": "Ask the provider how the machines are, and record it.",
    "destroy": "Delete an infrastructure with all its machines.",
    "expire": "Say how long an infrastructure may live, or end those whose time is over.",
    "orphans": "Find machines and things at sites that no state knows.",
    "nodes": "Find Raspberry Pis on the network.",
    "doctor": "Examine this computer and say what is missing.",
    "serve": "Serve the REST API of the Infrastructure Manager.",
    "worker": "Carry out what servers have accepted, on any machine.",
    "user": "Make and remove the accounts of `im serve`.",
    "config": "Show the settings and where each comes from.",
    "completion": "Print the completion script of a shell.",
}
_DEBUG_VARIABLE = "IM_DEBUG"


class ImGroup(LazyGroup):
    """Gives commands to the server that is named, where there is one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for a server, the one of the same words that asks the server."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is None or command is None or ctx.resilient_parsing or {"-h", "--help"} & set(rest):
            return name, command, rest
        from im_client.cli.remote import for_server

        return name, for_server(ctx, name, command), rest


@click.group(
    cls=ImGroup,
    package="im_client.cli.commands",
    summaries=SUMMARIES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    examples=(
        ("im deploy tosca_templates/slurm_cluster.yaml --name demo", "Make a cluster on this computer."),
        ("im ssh demo front", "Log in to its front-end."),
        ("im --server https://im.example.org:8800 --auth-file auth.dat list", "Ask a server instead."),
    ),
)
@version_option("im")
@click.option("--debug", is_flag=True, help=f"Show a traceback where something fails (also {_DEBUG_VARIABLE}=1).")
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a setting for this command only; `im config show` lists them.",
)
@click.option("--server", metavar="URL", envvar="IM_SERVER", help="Let a server do it: any Infrastructure Manager.")
@click.option("--auth-file", metavar="FILE", help="With a server: the credentials for it and for clouds.")
@click.option("--token-file", metavar="FILE", help="With a server: a token for it (also IM_TOKEN).")
@click.option("--ca-file", metavar="FILE", help="With a server: certificates (PEM) that vouch for it.")
@click.option("--insecure-http", is_flag=True, help="With a server: send credentials without TLS too.")
def cli(debug: bool, **_settings: object) -> None:
    """Make a TOSCA template into running, configured machines."""
    if debug:
        from infracore.logs import configure_logs

        configure_logs(sys.stderr, level="debug")
        logging.basicConfig(stream=sys.stderr, level=logging.WARNING)


def _say(error: InfraError) -> None:
    """Say an error; the problems of a template with the lines that they stand in."""
    from im_client.template.problems import InvalidTemplate

    if isinstance(error, InvalidTemplate):
        from im_client.cli.problems import say_problems

        say_problems(error.problems)
    else:
        say_error(error, say_one=_say)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `im` and exit with a code of `infracore.exitcodes`."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(words: list[str]) -> int:
    """Run one command line and return its exit code; every failure becomes a message on standard error."""
    return Program("im", cli, _DEBUG_VARIABLE, say=_say).run(words)


if __name__ == "__main__":
    main()
