"""`clues why`."""

from pathlib import Path

import click

from clues.cli.session import client, complete_name
from infracore.cli.console import print_json, print_text
from infracore.cli.lazy import ExampleCommand
from infracore.cli.options import json_option

__all__ = ["command"]


@click.command(
    "why",
    cls=ExampleCommand,
    short_help="Explain a node or a pod.",
    examples=(
        ("clues why team/web-7d9f", "For a pod: pool by pool, the first rule that refuses it, and what would help."),
        ("clues why wn-3", "For a node: why it stays, and until when; or why it goes."),
        ("clues why wn-3 --record 1800000000.clues", "The same at the time of a recorded decision."),
    ),
)
@click.argument("name", metavar="NODE-or-POD", shell_complete=complete_name)
@click.option("--record", type=click.Path(path_type=Path), metavar="FILE", help="Ask a recorded decision.")
@json_option
def command(name: str, record: Path | None, as_json: bool) -> None:
    """Explain a node, a machine or a pod that is pending or runs (NAME, or NAMESPACE/NAME of a pod).

    With --record the answer is that of a recorded decision; otherwise the running daemon is asked. Ends with 1 where
    there is nothing of that name.
    """
    import msgspec

    from clues.cli.explain import explained, recorded_answer

    if record is not None:
        from clues.history import read_recording

        recording = read_recording(record)
        answer, now = recorded_answer(recording, name), recording.decision.at
    else:
        daemon = client()
        answer = daemon.why(name)
        now = 0.0 if as_json else daemon.status().now
    if as_json:
        print_json(msgspec.to_builtins(answer))
    else:
        print_text("\n".join(explained(answer, now=now)))
