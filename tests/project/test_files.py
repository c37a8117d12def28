"""What no tracked file may hold, and what every one must."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_REGISTRY = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs|deb\.debian\.org|archive\.ubuntu\.com|crates\.io|proxy\.golang\.org"
)
_MACHINE_PATH = re.compile(r"(?<![\w.<{$-])/(?:work/(?:main|shared)|root/\.pyenv|opt/wheels)\b")
_CREDENTIAL = re.compile(r"-----BEGIN (?:OPENSSH |RSA |EC )?PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}|AKIA[0-9A-Z]{16}")


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        pytest.skip("not a clone: no list of tracked files")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts() -> list[tuple[Path, str]]:
    found = []
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data[:4096] and path != Path(__file__).resolve():
            found.append((path, data.decode("utf-8", "replace")))
    return found


@pytest.mark.parametrize(
    ("what", "pattern"),
    [("a package registry's host", _REGISTRY), ("a path of one machine", _MACHINE_PATH), ("a key", _CREDENTIAL)],
)
def test_no_tracked_file_names(what: str, pattern: re.Pattern[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {hit[0]!r}" for path, text in texts() if (hit := pattern.search(text)) is not None
    ]
    assert found == [], what


def test_shell_scripts_have_no_syntax_error() -> None:
    scripts = [*sorted((ROOT / "scripts").glob("*.sh")), ROOT / ".ci" / "run"]
    for script in scripts:
        shell = "bash" if script.name == "run" else "sh"
        done = subprocess.run([shell, "-n", script], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr


def test_no_file_is_too_large_to_read() -> None:
    """Nine of ten at most 400 lines, none beyond 700."""
    code = [path for path in tracked() if path.suffix == ".py" and path.parts[len(ROOT.parts)] != "tests"]
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in code}
    assert {name: count for name, count in lines.items() if count > 700} == {}
    assert sorted(lines.values())[len(lines) * 9 // 10] <= 400


def test_every_package_says_what_it_is_for() -> None:
    import ast

    silent = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.name == "__init__.py"
        and path.parts[len(ROOT.parts)] in {"infracore", "im_client", "clues"}
        and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_every_error_is_caught_at_the_named_boundaries_only() -> None:
    allowed = {
        "infracore/cli/program.py",  # a command line's main
        "im_client/execute/engine.py",  # one step of a plan
        "clues/loop.py",  # one tick of the daemon
        "clues/daemon/daemon.py",  # one reading of the settings: a defect there must not end a daemon that works
        "clues/actions/workers.py",  # one call of a driver, a hook or the cluster
        "clues/api/server.py",  # one request
        "clues/cli/commands/plan.py",  # one scenario of many
        "clues/kubeapi/api.py",  # the kubernetes client and its exec plugins: errors without a common root
        "clues/power/redfish.py",  # the DMTF client: the same
        "clues/sources/listwatch.py",  # one watch: its thread must not end without a word
    }
    found = {
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.suffix == ".py"
        and path.parts[len(ROOT.parts)] in {"infracore", "im_client", "clues"}
        and re.search(r"^\s*except Exception\b", path.read_text(encoding="utf-8"), re.M)
    }
    assert found <= allowed
