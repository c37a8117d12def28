"""What the role raspberry_pi_base decides, without running it: its variables as Ansible reads them, and its look.sh."""

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).parents[2] / "playbooks" / "roles" / "raspberry_pi_base"
PI_4 = {
    "model": "Raspberry Pi 4 Model B Rev 1.4",
    "boot_folder": "/boot/firmware",
    "cmdline": "/boot/firmware/cmdline.txt",
    **dict.fromkeys(("has_config", "has_eeprom_update", "has_vcgencmd", "has_watchdog", "has_fstab"), True),
    **dict.fromkeys(("has_dphys_swapfile", "has_rpi_swap", "has_zram_settings", "has_k3s"), False),
}
MARK, UPGRADED = "/run/raspberry_pi_base.restart", "/run/reboot-required"
UNFINISHED = "/var/lib/raspberry_pi_base/restarting"


def decide(name: str, found: dict[str, object] | None = None, **said: object) -> Any:
    """Return a variable of the role on a Raspberry Pi 4, or on what else is found."""
    loader = DataLoader()
    variables: dict[str, object] = {"ansible_facts": {"kernel": "6.12.47-v8", "distribution": "Debian"}}
    variables["raspberry_pi_base_looked"] = {"stdout": json.dumps(PI_4 | (found or {}))}
    for part in ("defaults", "vars"):
        variables |= loader.load_from_file(str(ROLE / part / "main.yml"), trusted_as_template=True)
    variables |= {f"raspberry_pi_base_{key}": value for key, value in said.items()}
    return Templar(loader, variables).template(trust_as_template(f"{{{{ raspberry_pi_base_{name} }}}}"))


def marks(*paths: str) -> dict[str, object]:
    return {"results": [{"item": p, "stat": {"exists": p in paths}} for p in (MARK, UPGRADED, UNFINISHED)]}


def node(*, is_open: bool) -> dict[str, object]:
    spec = {} if is_open else {"unschedulable": True}
    return {"rc": 0, "stdout": json.dumps({"spec": spec})}


@pytest.mark.parametrize(
    ("there", "answer", "is_ours"),
    [
        ((MARK,), node(is_open=True), True),
        ((MARK,), node(is_open=False), False),  # somebody else closed it
        ((MARK, UNFINISHED), node(is_open=False), True),  # drained, and not restarted
        ((UNFINISHED,), node(is_open=False), True),  # drained, restarted, never given pods again
        ((UNFINISHED,), {"rc": 1, "stdout": "", "stderr": "NotFound"}, False),
        ((UNFINISHED,), {"skipped": True}, False),
    ],
)
def test_a_node_that_the_role_closed_is_opened_by_it_whatever_became_of_the_run(
    there: tuple[str, ...], answer: dict[str, object], is_ours: bool
) -> None:
    assert decide("is_ours", marks=marks(*there), node=answer) is is_ours


@pytest.mark.parametrize(
    ("there", "restart", "restarts"),
    [((), True, False), ((UPGRADED,), True, True), ((MARK,), False, False), ((UNFINISHED,), True, False)],
)
def test_a_restart_that_did_not_end_is_no_reason_for_another(
    there: tuple[str, ...], restart: bool, restarts: bool
) -> None:
    assert decide("restarts", marks=marks(*there), restart=restart) is restarts


def test_a_node_that_stays_closed_is_in_the_report() -> None:
    assert "closed the node" in decide("left_out", marks=marks(UNFINISHED))["pods"]
    assert "pods" not in decide("left_out", marks=marks())
    in_cluster = decide("left_out", {"has_k3s": True}, marks=marks(UNFINISHED), kubectl_host="pi-1")
    assert "pods" not in in_cluster


def test_the_watchdog_has_the_patience_that_raspberry_pi_os_gives_it() -> None:
    assert decide("watchdog_s") == 60  # 40-rpi-enable-watchdog.conf of raspberrypi-sys-mods
    assert "watchdog_s | default(60)" in (ROLE.parents[1] / "raspberry_pi_base.yml").read_text(encoding="utf-8")
