"""What is served as it lies in the package."""

import hashlib
import re

from im_client.api.dashboard.rendering import STATIC


def test_htmx_is_the_file_that_its_page_names() -> None:
    said = re.search(r"`htmx\.min\.js` \| npm package `htmx\.org`.* \| ([\d.]+) \| 0BSD .* `([0-9a-f]{64})`", _page())
    assert said is not None
    text = (STATIC / "htmx.min.js").read_bytes()
    assert hashlib.sha256(text).hexdigest() == said[2]
    assert f'version:"{said[1]}"'.encode() in text


def test_the_style_asks_nobody() -> None:
    style = (STATIC / "style.css").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style


def _page() -> str:
    return (STATIC / "README.md").read_text(encoding="utf-8")
