"""Take the pictures of the dashboard in docs/images/: an `im serve` with the provider `fake`, in Debian's Chromium.

`make screenshots`, not `make docs`: the pictures differ a little with every version of the browser. Needs what the
tests marked `browser` need.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.rigs.chromium import chromium, new_page  # noqa: E402
from tests.rigs.im_serve import PASSWORD, Serve, im_serve  # noqa: E402

OUT = ROOT / "docs" / "images"
MOST_BYTES = 150_000
SETTINGS = "parallel: 3\nproviders: {fake: {delay_s: {boot: 2.5, create: 0.3}}}\n"


def sign_in(page: Page, server: Serve) -> None:
    """Sign in as the one who is there."""
    page.goto(f"{server.url}/dashboard/sign-in")
    page.get_by_label("Name").fill("ana")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Infrastructures")).to_be_visible()


def plan(page: Page, server: Serve, name: str, workers: int) -> None:
    """Fill in the form of the Slurm cluster and look at its plan."""
    page.goto(f"{server.url}/dashboard/templates/slurm_cluster?add=shared_folder")
    page.get_by_label("Name of the infrastructure").fill(name)
    page.get_by_label("Worker count").fill(str(workers))
    page.get_by_role("button", name="Look at the plan").last.click()
    expect(page.get_by_role("button", name="Deploy")).to_be_visible()


def deploy(page: Page) -> None:
    """Deploy it, and wait until about half of the machines are there."""
    page.get_by_role("button", name="Deploy").click()
    expect(page.locator(".tally")).to_contain_text("3 of", timeout=30_000)


def shoot(page: Page, name: str) -> None:
    """Write one picture."""
    page.evaluate("document.activeElement.blur()")
    path = OUT / f"dashboard-{name}.png"
    page.screenshot(path=path)
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {size // 1000} kB")
    if size > MOST_BYTES:
        sys.exit(f"{path} is larger than {MOST_BYTES} bytes")


def main() -> None:
    """Take all pictures."""
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "im.yaml").write_text(SETTINGS)
        with im_serve(Path(folder)) as server, chromium() as browser:
            server.user("ana")
            with new_page(browser, 1280, 830) as (page, _):
                sign_in(page, server)
                page.goto(f"{server.url}/dashboard/catalogue")
                shoot(page, "catalogue")
                plan(page, server, "lab", 6)
                shoot(page, "plan")
                deploy(page)
                shoot(page, "live")
            with new_page(browser, 360, 720, scheme="dark", is_phone=True) as (page, _):
                sign_in(page, server)
                plan(page, server, "field", 5)
                deploy(page)
                shoot(page, "phone")


if __name__ == "__main__":
    main()
