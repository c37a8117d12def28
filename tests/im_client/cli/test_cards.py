"""What is said of a card that failed: untouched, marked, or neither."""

from pathlib import Path

import pytest
from rich.console import Console

from im_client.cli.cards import exit_code, report_shape, report_view
from im_client.flash.card import Card, Made, Outcome
from im_client.flash.devices import look_at
from im_client.services.flash import FlashReport
from infracore.errors import Cancelled, CommandFailed, Conflict, InfraError

BROKEN, TAKEN, STOPPED = CommandFailed("it broke"), Conflict("it is taken"), Cancelled("stopped")


@pytest.mark.parametrize(
    ("outcome", "error", "is_begun", "is_marked", "said", "code"),
    [
        (Outcome.FAILED, TAKEN, False, False, "nothing was written", TAKEN.exit_code),
        (Outcome.FAILED, TAKEN, True, False, "it was written to, and takes no mark: do not use it", 1),
        (Outcome.FAILED, BROKEN, True, True, "unfinished, and marked so: it does not boot", 1),
        (Outcome.CANCELLED, STOPPED, False, False, "nothing was written", 130),
        (Outcome.CANCELLED, STOPPED, True, True, "unfinished, and marked so: it does not boot", 130),
    ],
)
def test_a_card_that_was_written_to_is_never_called_untouched(
    outcome: Outcome, error: InfraError, is_begun: bool, is_marked: bool, said: str, code: int, tmp_path: Path
) -> None:
    card = Card("web", look_at(tmp_path / "web.img"))
    made = Made(card, outcome, error=error, is_begun=is_begun, is_unfinished=is_marked)
    report = FlashReport((made,), tmp_path / "known_hosts")
    console = Console(width=240)
    with console.capture() as shown:
        console.print(report_view(report))
    assert said in shown.get()
    assert report_shape(report)["cards"][0]["begun"] is is_begun
    assert exit_code(report) == code
