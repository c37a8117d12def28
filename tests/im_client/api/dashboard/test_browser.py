"""The dashboard in a real browser: with a mouse, with the keyboard alone, on a phone, and without scripts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.im_client.api.dashboard.conftest import furnish
from tests.rigs.chromium import chromium, new_page
from tests.rigs.im_serve import PASSWORD, Serve, im_serve

pytestmark = pytest.mark.browser
REFUSED = "Failed to load resource: the server responded with a status of 422 (Unprocessable Entity)"
"""What Chromium says of a form that was not accepted."""
AXE: dict[str, Any] = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"],
}

FOCUS = """() => {
    const at = document.activeElement;
    const said = at.labels?.[0]?.innerText || at.getAttribute("aria-label") || at.innerText || "";
    return [said.trim(), getComputedStyle(at).outlineStyle];
}"""
"""What has the focus, and how that is seen."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    folder = furnish(tmp_path_factory.mktemp("browser"))
    settings = (folder / "im.yaml").read_text().replace("boot: 0.2", "boot: 2, delete: 0.2")
    (folder / "im.yaml").write_text(settings)
    with im_serve(folder) as running:
        running.user("ana")
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def sign_in(page: Page, server: Serve) -> None:
    page.goto(f"{server.url}/")
    page.get_by_label("Name").fill("ana")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Infrastructures")).to_be_visible()


def look_closely(page: Page, *, deep: bool = True) -> None:
    """Measure whether the page scrolls sideways; with `deep` let axe-core look for what hinders people (1 s each)."""
    if deep:
        found = Axe().run(page, options=AXE).response["violations"]
        assert not [(one["id"], [node["target"] for node in one["nodes"]]) for one in found], page.url
    wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide[0] <= wide[1], f"{page.url} scrolls sideways: {wide}"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_from_the_catalogue_to_the_end_of_a_cluster(server: Serve, browser: Browser, width: int, scheme: Any) -> None:
    is_wide = width > 600
    with new_page(browser, width, scheme=scheme, is_phone=not is_wide) as (page, wrong):
        page.goto(f"{server.url}/")
        look_closely(page, deep=is_wide)
        sign_in(page, server)
        page.get_by_role("link", name="Catalogue", exact=True).click()
        look_closely(page, deep=not is_wide)
        page.get_by_label("Search the catalogue").fill("pictures")
        expect(page.get_by_text("1 template for")).to_be_visible()
        assert page.url.endswith("/catalogue"), "the cards came by themselves"
        page.get_by_role("link", name="Render farm").click()
        look_closely(page, deep=not is_wide)

        page.get_by_label("Name of the infrastructure").fill("lab")
        page.get_by_label("Workers").fill("99")
        page.get_by_label("Zone").fill("north")
        page.get_by_label("Admin password").fill("hunter22")
        page.get_by_role("button", name="Look at the plan").last.click()
        expect(page.get_by_role("alert")).to_contain_text("One thing is to mend")
        expect(page.get_by_role("alert")).to_be_focused()
        expect(page.get_by_label("Workers")).to_have_attribute("aria-invalid", "true")
        expect(page.locator("#f-workers-error")).to_contain_text("9")
        look_closely(page, deep=is_wide)
        assert wrong == [REFUSED]
        wrong.clear()

        page.get_by_label("Workers").fill("3")
        page.get_by_label("Admin password").fill("hunter22")
        page.get_by_role("button", name="Look at the plan").last.click()
        expect(page.get_by_role("heading", name="Plan of lab")).to_be_visible()
        expect(page.get_by_role("img", name="Groups of machines: front (1), worker (3)")).to_be_visible()
        look_closely(page, deep=is_wide)

        page.get_by_role("button", name="Deploy").click()
        progress = page.get_by_role("progressbar", name="Machines that are ready")
        expect(progress).to_be_visible()
        look_closely(page, deep=False)
        expect(page.locator("#said")).to_contain_text("lab", timeout=20_000)
        expect(page.locator("#said")).to_contain_text(": configured")
        expect(progress).to_have_count(0)
        expect(page.locator("#h-machines ~ table tbody tr")).to_have_count(4)
        expect(page.locator("circle.dot.good")).to_have_count(4)
        look_closely(page)

        expect(page.get_by_text("hunter22")).to_have_count(0)
        page.get_by_role("button", name="Show what is hidden").click()
        expect(page.get_by_text("hunter22")).to_be_visible()
        look_closely(page, deep=is_wide)
        page.get_by_role("link", name="Back").click()

        page.get_by_label("Machines of worker").fill("1")
        page.get_by_role("button", name="Scale", exact=True).click()
        expect(page.locator("#h-machines ~ table tbody tr")).to_have_count(2, timeout=20_000)

        page.get_by_role("link", name="worker-1").click()
        expect(page.get_by_role("heading", name="worker-1")).to_be_visible()
        look_closely(page, deep=is_wide)
        page.go_back()
        page.get_by_role("link", name="Log", exact=True).click()
        expect(page.locator("#log")).to_contain_text("run-started")
        look_closely(page, deep=False)
        page.go_back()

        page.get_by_role("link", name="Destroy…").click()
        look_closely(page, deep=is_wide)
        name = page.locator("label b").inner_text()
        page.get_by_label("Write its name").fill(name)
        page.get_by_role("button", name="Destroy it").click()
        expect(page.get_by_role("status").first).to_contain_text("destroyed")
        page.wait_for_url("**/infrastructures", timeout=20_000)
        expect(page.get_by_text(f"{name} is destroyed")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("button", name="Sign in", exact=True)).to_be_visible()
        assert wrong == []


def press(page: Page, label: str, most: int = 80) -> None:
    """Go on by the tabulator until what has the focus is called so; each stop on the way must be seen."""
    for _ in range(most):
        page.keyboard.press("Tab")
        said, outline = page.evaluate(FOCUS)
        assert outline != "none", f"the focus on {said!r} is not seen"
        if said == label:
            return
    raise AssertionError(f"the tabulator never comes to {label!r}")


def test_with_the_keyboard_alone(server: Serve, browser: Browser) -> None:
    with new_page(browser) as (page, wrong):
        page.goto(f"{server.url}/")
        page.keyboard.type("ana")  # the name has the focus from the beginning
        press(page, "Password")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Infrastructures")).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        press(page, "Deploy a template")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Catalogue")).to_be_visible()
        press(page, "Search the catalogue")
        page.keyboard.type("pictures")
        expect(page.get_by_text("1 template for")).to_be_visible()
        press(page, "Render farm")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Render farm")).to_be_visible()
        press(page, "Name of the infrastructure")
        page.keyboard.type("keys")
        press(page, "Zone needed")
        page.keyboard.type("south")
        page.keyboard.press("Enter")  # sends the form, and does not press the add-ons' button
        expect(page.get_by_role("heading", name="Plan of keys")).to_be_visible()
        press(page, "Deploy")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_contain_text("keys-")
        # what is renewed takes nobody's focus away
        press(page, "front-1")
        expect(page.locator("#said")).to_contain_text(": configured", timeout=20_000)
        expect(page.get_by_role("link", name="front-1")).to_be_focused()
        assert wrong == []


def test_without_scripts(server: Serve, browser: Browser, tmp_path: Path) -> None:
    with new_page(browser, 360, scripts=False) as (page, wrong):
        sign_in(page, server)
        page.goto(f"{server.url}/dashboard/catalogue")
        page.get_by_label("Search the catalogue").fill("pictures")
        page.get_by_role("button", name="Search").click()
        page.get_by_role("link", name="Render farm").click()
        page.get_by_label("Name of the infrastructure").fill("plain")
        page.get_by_label("Zone").fill("west")
        page.get_by_role("button", name="Look at the plan").last.click()
        page.get_by_role("button", name="Deploy").click()
        # the page comes again by itself while something goes on
        expect(page.locator(".now")).to_contain_text("create done", timeout=20_000)
        assert wrong == []
