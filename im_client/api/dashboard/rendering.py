"""Pages from templates. Every value is escaped; what a template does not know is an error, not nothing."""

import functools
import hashlib
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from im_client.api.late import DASHBOARD
from im_client.state.server import Role
from infracore.units import format_bytes

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["BASE", "STATIC", "ago", "render", "trusted"]

BASE: Final = DASHBOARD
STATIC: Final = Path(__file__).parent / "static"
_PAGES: Final = Path(__file__).parent / "pages"
_KINDS: Final = {
    "configured": "good",
    "done": "good",
    "running": "up",
    "queued": "busy",
    "pending": "busy",
    "creating": "busy",
    "deleting": "busy",
    "failed": "bad",
    "partly-done": "bad",
    "unconfigured": "warn",
    "unknown": "warn",
    "cancelled": "warn",
}
"""State -> how it is coloured; the word itself is always written, too."""


def render(template: str, **values: Any) -> str:
    """Return a page."""
    return _environment().get_template(template).render(**values)


@functools.cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # late: a server that nobody looks at is small

    found = Environment(
        loader=FileSystemLoader(_PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.globals.update(base=BASE, static=_static, kind=lambda state: _KINDS.get(state, "off"), Role=Role)
    found.filters.update(bytes=format_bytes, moment=_moment, iso=_iso, ago=ago, hue=_hue)
    return found


@functools.cache
def _static(name: str) -> str:
    """Return the address of a file that changes with its content, so that browsers may keep it for long."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"{BASE}/static/{name}?v={digest}"


def trusted(text: str) -> str:
    """Mark what `render` made, so that it is not escaped again."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - made by our own templates, which escape all values


def ago(at: float) -> str:
    """Say how long ago something was; seconds since the epoch."""
    seconds = datetime.now(UTC).timestamp() - at
    for size, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {word} ago"
    return "just now"


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _hue(text: str) -> int:
    """Choose one of five colours, always the same for a text."""
    return zlib.crc32(text.encode()) % 5


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
