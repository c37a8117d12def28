"""Golden images as tables."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from im_client.providers.images import SavedImage
from im_client.services.golden import SiteImage
from infracore.cli.tables import bare_table, cell
from infracore.units import format_bytes

__all__ = ["image_view", "images_table"]


def images_table(found: Sequence[SiteImage]) -> Table:
    """Return one line an image."""
    table = bare_table("IMAGE", "SITE", "OF", "SYSTEM", "SIZE", "SAVED")
    for one in found:
        image = one.image
        table.add_row(
            cell(image.name, "bold"),
            cell(one.site),
            cell(image.group),
            cell(image.system),
            Text(format_bytes(image.size_bytes)),
            Text(_moment(image.created_at) if image.is_ready else "not ready yet"),
        )
    return table


def image_view(site: str, image: SavedImage) -> Table:
    """Return all that is known of an image."""
    facts = [
        ("image", image.name),
        ("id", image.id if image.id != image.name else ""),
        ("site", site),
        ("of", f"{image.group} ({image.machine} of {image.infrastructure})"),
        ("system", image.system),
        ("size", format_bytes(image.size_bytes)),
        ("saved", _moment(image.created_at) if image.is_ready else "not ready yet"),
        ("sha256", image.sha256),
        ("left out", f"{image.removed} files and folders"),
        ("private files in it", ", ".join(image.private)),
    ]
    table = bare_table()
    for key, value in facts:
        if value:
            table.add_row(Text(key, "bold"), cell(value))
    return table


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
