"""`clues report`."""

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

import click

from clues.cli.session import client, report_settings
from infracore.cli.console import print_json, print_text, say
from infracore.cli.lazy import ExampleCommand
from infracore.cli.options import json_option
from infracore.errors import InvalidUsage, Misconfigured
from infracore.units import duration_s, format_duration

__all__ = ["command", "moment"]


@click.command(
    "report",
    cls=ExampleCommand,
    short_help="Draw nodes, waiting times, energy and money of a period.",
    examples=(
        ("clues report --since 7d --html week.html", "The last week as one HTML file with drawings."),
        ("clues report --since 2026-11-01 --until 2026-12-01 --json", "A month, for a program."),
        ("clues report --history /var/lib/clues/history.db --html all.html", "Without the daemon."),
    ),
)
@click.option("--since", default="24h", metavar="WHEN", help="7d, 12h, or a time such as 2026-11-01 (default: 24h).")
@click.option("--until", default="0s", metavar="WHEN", help="The end (default: now).")
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Write it as a page.")
@click.option("--history", type=click.Path(path_type=Path), metavar="FILE", help="Read this history.db directly.")
@json_option
def command(since: str, until: str, html: Path | None, history: Path | None, as_json: bool) -> None:
    """Sum up a period: nodes by state, waiting times, energy with standby, money, power-ons.

    Asks the daemon; where none runs, its history file is read. A time without a zone is that of this computer.
    """
    import msgspec

    from clues.api.report import report_page, summarise

    now = time.time()
    begin, end = moment(since, now, "--since"), moment(until, now, "--until")
    if begin >= end:
        raise InvalidUsage(f"--since {since} is not before --until {until}")
    currency, price, state_dir = report_settings()
    records = _records(history, state_dir / "history.db", begin, end)
    report = summarise(records, since=begin, until=end, currency=currency, price_per_kwh=price)
    if html is not None:
        try:
            html.write_text(report_page(report), encoding="utf-8")
        except OSError as error:
            raise Misconfigured(f"cannot write {html}: {error.strerror}") from error
        say(f"written: {html}")
    if as_json:
        print_json(msgspec.to_builtins(report))
    elif html is None:
        waits = report.waits
        lines = (
            ("node-hours switched on", f"{report.node_hours:,.1f}"),
            ("energy", f"{report.kwh:,.2f} kWh, {report.kwh_standby:,.2f} of it standby"),
            ("money", f"{report.cost_nodes:,.2f} nodes + {report.cost_energy:,.2f} electricity, {currency}"),
            ("power-ons", f"{report.power_ons:,}; {report.power_offs:,} off, {report.failures:,} failed"),
            (
                "pods waited",
                f"median {format_duration(waits.p50_s)}, 95 of 100 within {format_duration(waits.p95_s)},"
                f" longest {format_duration(waits.max_s)} ({waits.count:,} pods)"
                if waits.count
                else "none came to run",
            ),
        )
        print_text("\n".join(f"{name:<24}{value}" for name, value in lines))


def moment(word: str, now: float, flag: str) -> float:
    """Return the time that a word means: `7d` ago, or a date or time.

    Raises:
        InvalidUsage: it is neither.
    """
    try:
        return now - duration_s(word)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(word)
        return (at if at.tzinfo else at.astimezone()).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidUsage(
            f"{flag}: {word!r} is no time", "write 7d, 12h, 30m, or a date such as 2026-11-01 or 2026-11-01T08:00"
        ) from error


def _records(named: Path | None, usual: Path, since: float, until: float) -> Iterable[Mapping[str, object]]:
    from clues.api.client import NotRunning
    from clues.history import History

    if named is not None:
        return History.for_reading(named).records(since=since, until=until)
    try:
        return client(timeout_s=60.0).records(since=since, until=until)
    except NotRunning:
        if not usual.is_file():
            raise
        say(f"note: cluesd is not running; read from {usual}")
        return History.for_reading(usual).records(since=since, until=until)
