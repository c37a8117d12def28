"""What options take."""

import click
import pytest
from click.testing import CliRunner

from infracore.cli.options import FiniteRange


@pytest.mark.parametrize(
    ("word", "status"), [("1.5", 0), ("nan", 2), ("NaN", 2), ("inf", 2), ("-inf", 2), ("0", 2), ("x", 2), ("1e999", 2)]
)
def test_a_number_is_one_that_can_be_counted_with(word: str, status: int) -> None:
    @click.command()
    @click.option("--days", type=FiniteRange(min=1))
    def command(days: float) -> None:
        click.echo(days)

    assert CliRunner().invoke(command, ["--days", word]).exit_code == status
