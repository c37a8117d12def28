"""Values, sizes and counts in words, and the pieces that tables are made of."""

from rich.table import Table
from rich.text import Text

from im_client.cli.text import clean
from im_client.plan.model import Spec
from im_client.topology.values import Value
from infracore.secrets import Secret
from infracore.units import format_bytes

__all__ = ["bare_table", "cell", "counted", "first_line", "spec_text", "value_text"]


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


def value_text(value: Value) -> str:
    """Return a value of a topology as a person writes it: text bare, the rest as JSON."""
    if value is None:
        return ""
    if isinstance(value, str | Secret):
        return str(value)
    import json

    from im_client.cli.shapes import value_shape

    return json.dumps(value_shape(value), ensure_ascii=False)


def spec_text(spec: Spec) -> str:
    """Return the size and the system of a machine in a few words."""
    words = []
    if spec.instance_type:
        words.append(spec.instance_type)
    if spec.num_cpus:
        words.append(counted(spec.num_cpus, "CPU"))
    if spec.mem_bytes:
        words.append(f"{format_bytes(spec.mem_bytes)} memory")
    if spec.disk_bytes:
        words.append(f"{format_bytes(spec.disk_bytes)} disk")
    if spec.num_gpus:
        words.append(counted(spec.num_gpus, "GPU"))
    system = spec.image or " ".join(filter(None, (spec.os_distribution, spec.os_version)))
    if system:
        words.append(system)
    return ", ".join(words)


def first_line(text: str) -> str:
    """Return the first line that is not blank, or ""."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
