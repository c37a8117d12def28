"""The script that installs packages at the first boot, run by a shell whose programs are recorders."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from im_client.flash.customise.image import Image, Way
from im_client.flash.customise.layout import lay_out
from im_client.flash.customise.rootfiles import FIRST_BOOT, PER_BOOT, UNIT, first_boot_script, first_boot_unit
from tests.im_client.flash.customise.pi_images import HASH, a_node

NODE = a_node(packages=["nfs-common"], commands=["echo said", "exit 3", "echo after"])


def boot(folder: Path, *, is_timed: bool = True, has_network: bool = True, by_cloudinit: bool = False) -> list[str]:
    """Run it, and return the programs that it called, with their words; what it printed is last."""
    folder.mkdir(exist_ok=True)
    calls = folder / "calls"
    calls.write_text("")
    for name in ("apt-get", "dpkg", "rm", "sleep", "systemctl", "timedatectl"):
        answer = {"apt-get": f"exit {0 if has_network else 100}", "timedatectl": f"echo {'yes' if is_timed else 'no'}"}
        program = folder / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >>{calls}\n{answer.get(name, "")}\n')
        program.chmod(0o700)
    shell = shutil.which("sh", path=os.defpath)
    assert shell
    if not (folder / "sh").exists():
        (folder / "sh").symlink_to(shell)
    script = first_boot_script(NODE, by_cloudinit=by_cloudinit)
    done = subprocess.run(
        [shell], input=script, env={"PATH": str(folder)}, text=True, capture_output=True, check=False, timeout=30
    )
    return [*calls.read_text().splitlines(), f"{done.returncode}: {done.stdout}"]


def test_packages_come_before_commands_and_it_takes_itself_away(tmp_path: Path) -> None:
    assert boot(tmp_path) == [
        "timedatectl show --property=NTPSynchronized --value",
        "dpkg --configure -a",
        "apt-get -q update",
        "apt-get -q -y install nfs-common",
        "systemctl disable im-first-boot.service",
        f"rm -f {UNIT} {FIRST_BOOT}",
        "1: said\nafter\n",
    ]
    assert boot(tmp_path, by_cloudinit=True)[-2:] == [f"rm -f {PER_BOOT}", "1: said\nafter\n"]


@pytest.mark.parametrize("by_cloudinit", [False, True])
def test_it_stays_where_packages_cannot_be_had_and_runs_no_command(tmp_path: Path, by_cloudinit: bool) -> None:
    calls = boot(tmp_path, has_network=False, by_cloudinit=by_cloudinit)
    assert not [call for call in calls if call.startswith(("rm", "systemctl"))]
    assert calls[-2:] == ["apt-get -q -y install nfs-common", "1: "]


def test_without_the_time_apt_does_not_look_at_dates(tmp_path: Path) -> None:
    calls = boot(tmp_path, is_timed=False)
    assert calls.count("sleep 2") == 60
    assert "apt-get -q -o Acquire::Check-Date=false update" in calls
    assert "apt-get -q update" not in calls


def test_the_unit_waits_for_the_network_only() -> None:
    # time-sync.target would wait for nothing: what could delay it is not enabled on these images
    assert "After=network-online.target\n" in first_boot_unit()


def test_cloud_init_installs_them_itself_where_the_root_partition_cannot_be_written() -> None:
    image = Image(boot=frozenset({"user-data", "meta-data"}))
    layout = lay_out(a_node(packages=["vim"]), image, Way.CLOUDINIT, password_hash="", instance="im-pi1-1")
    assert layout.root == ()
    assert "packages:\n- vim\n" in layout.boot["user-data"]
    assert """Check-Date "false";""" in layout.boot["user-data"]
    assert "preserve_sources_list: true" in layout.boot["user-data"]


def test_an_account_that_the_image_has_gets_a_shell_before_cloud_init_sets_its_password(tmp_path: Path) -> None:
    image = Image(boot=frozenset({"user-data", "meta-data"}))
    layout = lay_out(
        a_node(user="pi", password_hash=HASH), image, Way.CLOUDINIT_RPI, password_hash=HASH, instance="im-pi1-1"
    )
    (command,) = yaml.safe_load(layout.boot["user-data"])["bootcmd"]
    assert command[:5] == ["cloud-init-per", "instance", "im-clues-shell", "sh", "-c"]
    for there in (True, False):
        (tmp_path / "id").unlink(missing_ok=True)
        for name, text in {"id": f"exit {0 if there else 1}", "usermod": f'echo "$@" >>{tmp_path}/calls'}.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
            (tmp_path / name).chmod(0o700)
        subprocess.run(command[3:], env={"PATH": f"{tmp_path}:{os.defpath}"}, check=True, timeout=30)
    assert (tmp_path / "calls").read_text() == "--shell /bin/bash pi\n"
