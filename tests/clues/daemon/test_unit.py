"""The systemd unit: it is valid, hardened, and says what the daemon relies on."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = Path(__file__).resolve().parents[3] / "systemd" / "cluesd.service"
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def setting(name: str) -> str:
    found = re.findall(rf"^{name}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(found) == 1, name
    return found[0]


def test_it_says_what_the_daemon_relies_on() -> None:
    assert setting("Type") in {"notify", "notify-reload"}
    assert setting("Restart") == "on-failure"
    assert int(setting("TimeoutStopSec")) == 10
    assert int(setting("WatchdogSec")) >= 30
    assert setting("StateDirectory") == setting("RuntimeDirectory") == setting("ConfigurationDirectory") == "clues"
    assert "PrivateUsers" not in re.sub(r"^#.*$", "", UNIT.read_text(), flags=re.MULTILINE)


@needs_systemd
def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    unit = tmp_path / "cluesd.service"
    unit.write_text(re.sub(r"/opt/im-clues/bin/(cluesd|clues)\b", sys.executable, UNIT.read_text()))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False, timeout=60
    )
    said = [line for line in done.stderr.splitlines() if "cluesd" in line]
    assert (done.returncode, said) == (0, [])


@needs_systemd
def test_its_exposure_is_small() -> None:
    argv = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    found = re.search(r"exposure level for \S+ ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout[-300:] + done.stderr
    assert float(found[1]) <= 3.0
