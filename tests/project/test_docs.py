"""The docs name what is there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from im_client.cli.main import SUMMARIES
from infracore.exitcodes import ExitCode

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_CODE = re.compile(r"```[a-z]*\n(.*?)```|(?:(?<=\n)|^)((?: {4}[^\n]*\n?)+)|`([^`\n]+)`", re.S)


def code_of(page: Path) -> list[str]:
    return [
        line.strip() for hit in _CODE.findall(page.read_text(encoding="utf-8")) for line in "".join(hit).splitlines()
    ]


def targets_of_makefile() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


def test_every_exit_code_is_documented() -> None:
    text = (ROOT / "docs/reference/exit-codes.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", text, re.M))
    assert documented == {str(int(code)): code.name for code in ExitCode}


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("gen_*.py")), ids=lambda path: path.name)
def test_generated_pages_are_what_the_code_says(script: Path) -> None:
    done = subprocess.run(
        [sys.executable, script, "--check"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"run `make docs`\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    named = {found[1] for line in code_of(page) if (found := re.match(r"(?:\$ )?im ([a-z]+)", line))}
    assert named <= set(SUMMARIES)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    named = {found[1] for line in code_of(page) if (found := re.match(r"(?:\$ )?make ([a-z]+)", line))}
    assert named <= targets_of_makefile()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    local = [link for link in links if link and "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_template_that_a_page_names_is_there(page: Path) -> None:
    named = set(re.findall(r"tosca_templates/[\w/.-]+\.ya?ml", page.read_text(encoding="utf-8")))
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_the_readme_begins_with_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    commands = [line.strip() for line in lines if line.startswith("    ")]
    assert [command.split("#")[0].strip() for command in commands[:2]] == ["make demo", "make test"]
