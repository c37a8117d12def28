"""The role `raspberry_pi_flash`: all cards at once, a card that fails stops its own host only."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.im_client.flash.customise.pi_images import KEY, make_disk

ROLES = Path(__file__).parents[2] / "playbooks" / "roles"
PROGRAM = f'#!/bin/sh\nexec {sys.executable} -m im_client.cli.main "$@"\n'
PLAY = """
- hosts: pis
  gather_facts: false
  roles: [raspberry_pi_flash]
  post_tasks:
    - ansible.builtin.debug: {msg: "goes on with {{ inventory_hostname }}"}
"""

pytestmark = [pytest.mark.ansible, pytest.mark.mtools, pytest.mark.slow]


@pytest.fixture
def fleet(tmp_path: Path) -> dict[str, Any]:
    """Two boards with cards, and one without."""
    folder = tmp_path / "make"
    folder.mkdir()
    (tmp_path / "im").write_text(PROGRAM)
    (tmp_path / "im").chmod(0o755)
    (tmp_path / "play.yml").write_text(PLAY)
    return {
        "pis": {
            "hosts": {
                "pi-1": {"raspberry_pi_device": str(tmp_path / "1.img")},
                "pi-2": {"raspberry_pi_device": str(tmp_path / "2.img")},
                "pi-3": None,
            },
            "vars": {
                "raspberry_pi_node": {
                    "user": "ana",
                    "authorized_keys": ["{{ key }}"],
                    "wifi": {"ssid": "lab", "country": "ES", "passphrase": "correct horse battery"},
                },
                "key": KEY,
                "raspberry_pi_flash_image": str(make_disk(folder).path),
                "raspberry_pi_flash_program": str(tmp_path / "im"),
                "raspberry_pi_flash_state_dir": str(tmp_path / "state"),
                "raspberry_pi_flash_known_hosts": str(tmp_path / "known_hosts"),
            },
        }
    }


def play(folder: Path, fleet: dict[str, Any], *words: str) -> "subprocess.CompletedProcess[str]":
    (folder / "hosts.json").write_text(json.dumps(fleet))
    environment = {
        **os.environ,
        "ANSIBLE_ROLES_PATH": str(ROLES),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "PYTHONPATH": ":".join(sys.path),
        "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
    }
    argv = [Path(sys.executable).with_name("ansible-playbook"), "-i", "hosts.json", "play.yml", *words]
    return subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=250, check=False)


def test_cards_are_written_once_and_no_secret_is_shown(tmp_path: Path, fleet: dict[str, Any]) -> None:
    looked = play(tmp_path, fleet, "--check")
    assert looked.returncode == 0, looked.stdout
    assert not (tmp_path / "1.img").exists()
    done = play(tmp_path, fleet, "-vvv")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "correct horse" not in done.stdout + done.stderr
    assert all(f"goes on with pi-{number}" in done.stdout for number in (1, 2, 3))
    known = (tmp_path / "known_hosts").read_text()
    assert {line.split()[0] for line in known.splitlines()} == {"pi-1", "pi-1.local", "pi-2", "pi-2.local"}
    before = (tmp_path / "1.img").read_bytes()
    again = play(tmp_path, fleet)
    assert again.stdout.count("changed=0 ") == 3
    assert (tmp_path / "1.img").read_bytes() == before


def test_a_host_whose_card_failed_stops_and_the_others_go_on(tmp_path: Path, fleet: dict[str, Any]) -> None:
    fleet["pis"]["hosts"]["pi-2"]["raspberry_pi_node"] = {"timezone": "UTC"}
    bare = tmp_path / "bare"
    bare.mkdir()
    fleet["pis"]["vars"]["raspberry_pi_flash_image"] = str(make_disk(bare, root=(), boot={}).path)
    fleet["pis"]["hosts"]["pi-1"]["raspberry_pi_node"] = {"user": "ana", "authorized_keys": [KEY]}
    done = play(tmp_path, fleet)
    assert done.returncode == 2
    assert "goes on with pi-2" in done.stdout, done.stdout
    assert "goes on with pi-1" not in done.stdout
    assert "goes on with pi-3" in done.stdout
    assert "user cannot be set on this image" in done.stdout


def test_the_cluster_waits_for_cards_to_be_put_in_but_not_where_cards_are_all_that_is_asked_for(
    tmp_path: Path, fleet: dict[str, Any]
) -> None:
    book = ROLES.parent / "raspberry_pi_cluster.yml"
    (tmp_path / "play.yml").write_text(f"- ansible.builtin.import_playbook: {book}\n")
    fleet["raspberry_pi"] = fleet.pop("pis")
    asked = "Not waiting for response to prompt"  # nobody is there who could answer
    alone = play(tmp_path, fleet, "--tags", "flash")
    assert alone.returncode == 0, alone.stdout
    assert asked not in alone.stderr
    assert asked in play(tmp_path, fleet, "--tags", "all,flash").stderr
    assert asked not in play(tmp_path, fleet, "--tags", "all,flash", "--check").stderr
    assert asked not in play(tmp_path, fleet, "--tags", "all,flash", "--limit", "pi-3").stderr
