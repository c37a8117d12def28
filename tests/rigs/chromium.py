"""Debian's Chromium without a screen, driven by playwright; what a page says to its console is kept."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

__all__ = ["chromium", "new_page"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run it; it asks nobody but the pages that it is sent to."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program is not None, "not installed: chromium"
    flags = ["--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-gpu"]
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=program, args=flags, chromium_sandbox=os.geteuid() != 0, timeout=60_000
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def new_page(
    browser: Browser,
    width: int = 1280,
    height: int = 900,
    *,
    scheme: Literal["light", "dark"] = "light",
    scripts: bool = True,
    is_phone: bool = False,
) -> Iterator[tuple[Page, list[str]]]:
    """Open a page as somebody new; yield it with what went wrong in it: errors, and refusals by its policy."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        java_script_enabled=scripts,
        reduced_motion="reduce",
        device_scale_factor=2 if is_phone else 1,
        is_mobile=is_phone,
        has_touch=is_phone,
    )
    try:
        page = context.new_page()
        page.set_default_timeout(15_000)
        wrong: list[str] = []
        page.on("console", lambda said: wrong.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "requestfailed",
            lambda request: wrong.append(f"failed: {request.url}") if _counts(request.failure) else None,
        )
        yield page, wrong
    finally:
        context.close()


def _counts(failure: str | None) -> bool:
    """A request that a page gives up because it is left is no failure."""
    return failure != "net::ERR_ABORTED"
