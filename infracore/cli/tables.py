"""The pieces that tables are made of."""

from rich.table import Table
from rich.text import Text

from infracore.cli.text import clean

__all__ = ["bare_table", "cell", "counted", "first_line"]


def counted(number: int, word: str, many: str = "") -> str:
    """Return `1 machine`, `2 machines`."""
    return f"{number} {word if number == 1 else many or word + 's'}"


def bare_table(*headings: str) -> Table:
    """Return an empty table without lines; without headings where none are named."""
    table = Table(box=None, pad_edge=False, show_header=bool(headings), header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def cell(text: str, style: str = "") -> Text:
    """Return text from outside as a cell: cleaned, never markup."""
    return Text(clean(text), style=style)


def first_line(text: str) -> str:
    """Return the first line that is not blank, or ""."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
