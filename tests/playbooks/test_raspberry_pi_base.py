"""What the role raspberry_pi_base decides, without running it: its variables as Ansible reads them, and its look.sh."""

import json
import re
import subprocess
from collections.abc import Mapping
from functools import cache
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


@cache
def read(path: str) -> Any:
    return DataLoader().load_from_file(str(ROLE / path), trusted_as_template=True)


def decide(name: str, found: Mapping[str, object] | None = None, /, **said: object) -> Any:
    """Return a variable of the role on a Raspberry Pi 4, or on what else is found."""
    variables: dict[str, object] = {"ansible_facts": {"kernel": "6.12.47-v8", "distribution": "Debian"}}
    variables["raspberry_pi_base_looked"] = {"stdout": json.dumps({**PI_4, **(found or {})})}
    for part in ("defaults", "vars"):
        variables |= read(f"{part}/main.yml")
    variables |= {f"raspberry_pi_base_{key}": value for key, value in said.items()}
    return Templar(DataLoader(), variables).template(trust_as_template(f"{{{{ raspberry_pi_base_{name} }}}}"))


def task(file: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in read(f"tasks/{file}") if one["name"] == name]
    return dict(found)


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


@pytest.mark.parametrize(
    ("files", "folder", "cmdline"),
    [
        (("boot/firmware/cmdline.txt", "boot/firmware/config.txt"), "/boot/firmware", "/boot/firmware/cmdline.txt"),
        (
            ("boot/firmware/current/cmdline.txt", "boot/firmware/config.txt"),  # Ubuntu 25.10
            "/boot/firmware",
            "/boot/firmware/current/cmdline.txt",
        ),
        (("boot/cmdline.txt", "boot/config.txt"), "/boot", "/boot/cmdline.txt"),  # before bookworm
        (("boot/vmlinuz",), "", ""),
    ],
)
def test_the_command_line_is_found_where_the_system_has_it(
    files: tuple[str, ...], folder: str, cmdline: str, tmp_path: Path
) -> None:
    for name in ("proc/device-tree/model", *files):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("Raspberry Pi 5\0", encoding="utf-8")
    argv = ["sh", str(ROLE / "files" / "look.sh"), str(tmp_path)]
    found = json.loads(subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True).stdout)
    assert found.keys() == PI_4.keys()
    assert (found["model"], found["boot_folder"], found["cmdline"]) == ("Raspberry Pi 5", folder, cmdline)
    assert found["has_config"] is bool(folder)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("cgroup_disable=memory", ""),
        ("a cgroup_disable=memory b\n", "a b\n"),
        ("a b cgroup_disable=memory\n", "a b \n"),
        ("a cgroup_disable=memory2 b_cgroup_disable=memory\n", "a cgroup_disable=memory2 b_cgroup_disable=memory\n"),
    ],
)
def test_what_keeps_control_groups_from_counting_memory_goes_from_the_command_line(before: str, after: str) -> None:
    rule = task("boot.yml", "Take back that control groups do not count memory")["ansible.builtin.replace"]
    assert re.sub(rule["regexp"], rule["replace"], before, flags=re.MULTILINE) == after


AVAILABLE = "*** UPDATE AVAILABLE ***\n   CURRENT: Thu (1746717695)\n    LATEST: Wed (1790164934)\n"
LATEST = "LATEST: Wed (1790164934)"
OFF = "not looked at (CM4)"
REFUSED = f"an update was not written at the start it was for: {LATEST}"
WAITS = "an update waits for a restart"


def eeprom(rc: int, lines: tuple[str, ...], *, staged: bool, waiting: bool, said: str = "") -> dict[str, object]:
    return {
        "eeprom_asked": {"rc": rc, "stdout": said or AVAILABLE},
        "eeprom_noted": {"rc": 0 if lines else 1, "stdout_lines": [*lines, "boot-2"]},
        "eeprom_staged": {"rc": 0, "changed": True} if staged else {"skipped": True, "changed": False},
        "eeprom_again": {"skipped": True, "changed": False},
        "recovery": {"stat": {"exists": waiting}},
        "marks": marks(),
    }


@pytest.mark.parametrize(
    ("seen", "how", "restarts", "report"),
    [
        (eeprom(0, (), staged=False, waiting=False), "update", False, "up to date"),
        (eeprom(0, (), staged=False, waiting=True), "update", False, WAITS),  # a change of settings
        (eeprom(1, (), staged=True, waiting=False), "update", True, WAITS),
        (eeprom(1, (), staged=False, waiting=True), "update", True, WAITS),  # asked for by the service
        (eeprom(1, (), staged=False, waiting=True), "report", False, WAITS),
        (eeprom(1, (), staged=False, waiting=False), "report", False, "an update is there"),
        (eeprom(1, (LATEST, "boot-2"), staged=False, waiting=True), "update", True, WAITS),
        (eeprom(1, (LATEST, "boot-1"), staged=False, waiting=True), "update", False, REFUSED),
        (eeprom(1, (LATEST, "boot-1"), staged=False, waiting=False), "update", False, REFUSED),
        (eeprom(1, ("LATEST: an older one", "boot-1"), staged=True, waiting=False), "update", True, WAITS),
    ],
)
def test_a_board_is_restarted_once_for_a_boot_loader(
    seen: dict[str, object], how: str, restarts: bool, report: str
) -> None:
    assert decide("restarts", **seen, eeprom=how) is restarts
    assert decide("eeprom_report", **seen, eeprom=how) == report


@pytest.mark.parametrize(("rc", "report"), [(0, "updated"), (1, REFUSED)])
def test_whether_the_boot_loader_was_written_is_asked_after_the_restart(rc: int, report: str) -> None:
    seen = eeprom(1, (), staged=True, waiting=False) | {"eeprom_again": {"rc": rc}}
    assert decide("eeprom_report", **seen) == report


def test_a_compute_module_4_whose_program_is_off_is_not_called_up_to_date() -> None:
    module = {"model": "Raspberry Pi Compute Module 4 Rev 1.0"}
    off = eeprom(0, (), staged=False, waiting=False, said="rpi-eeprom-update is not enabled by default on CM4.\n")
    assert decide("eeprom_report", module, **off) == OFF
    on = eeprom(0, (), staged=False, waiting=False, said=f"BOOTLOADER: up to date\n    {LATEST}\n")
    assert decide("eeprom_report", module, **on) == "up to date"


def test_a_machine_without_the_program_was_not_looked_at() -> None:
    assert decide("eeprom_report") == "not looked at"
    assert decide("restarts", marks=marks()) is False


@pytest.mark.parametrize(
    ("clock", "answer", "report"),
    [
        ("chrony", {"rc": 0}, "right"),
        ("chrony", {"rc": 1}, "no time server set it within 120 s"),
        ("timesyncd", {"rc": 0}, "right"),
        ("timesyncd", {"rc": 124}, "no time server set it within 120 s"),
        ("keep", {"skipped": True}, "not looked at"),
    ],
)
def test_a_clock_that_nobody_sets_is_in_the_report(clock: str, answer: dict[str, object], report: str) -> None:
    assert decide("clock_report", clock=clock, clock_answer=answer) == report
    assert decide("clock_is_wrong", clock=clock, clock_answer=answer) is report.startswith("no ")


@pytest.mark.parametrize("clock", ["chrony", "timesyncd"])
def test_the_wait_for_the_clock_has_an_end(clock: str) -> None:
    assert " 120 " in decide("clock_question", clock=clock)


def test_k3s_starts_after_the_clock_is_set() -> None:
    unit = (ROLE.parent / "k3s_program" / "templates" / "k3s.service.j2").read_text(encoding="utf-8")
    for word in ("Wants", "After"):
        (line,) = [one for one in unit.splitlines() if one.startswith(f"{word}=")]
        assert {"network-online.target", "time-sync.target"} <= set(line.partition("=")[2].split())


@pytest.mark.parametrize("asked", [False, True])
def test_kernel_and_firmware_come_by_themselves_only_where_that_is_asked_for(asked: bool) -> None:
    text = (ROLE / "templates" / "apt.conf.j2").read_text(encoding="utf-8")
    variables = {"ansible_managed": "", "raspberry_pi_base_unattended_firmware": asked}
    written = Templar(DataLoader(), variables).template(trust_as_template(text))
    assert ("Raspberry Pi Foundation" in written) is asked
    assert "origin=Raspbian," in written


@pytest.mark.parametrize(
    ("swap", "lines"),
    [
        ("none", ["[Main]", "Mechanism=none"]),
        ("zram", ["[Main]", "Mechanism=zram", "", "[Zram]", "RamMultiplier=0.75", "MaxSizeMiB="]),
    ],
)
def test_compressed_swap_of_rpi_swap_is_as_large_as_was_asked_for(swap: str, lines: list[str]) -> None:
    content = task("rpi_swap.yml", "Say what swap there shall be")["ansible.builtin.copy"]["content"]
    variables = {"raspberry_pi_base_swap": swap, "raspberry_pi_base_zram_percent": 75}
    assert Templar(DataLoader(), variables).template(content).splitlines()[1:] == lines


@pytest.mark.parametrize(
    ("found", "goes"), [({"has_dphys_swapfile": True}, True), ({"has_rpi_swap": True}, True), ({}, False)]
)
def test_the_file_of_the_distributions_swap_goes_and_no_other(found: dict[str, bool], goes: bool) -> None:
    remove = task("swap.yml", "Remove the file that they used")
    assert remove["ansible.builtin.file"] == {"path": "/var/swap", "state": "absent"}
    variables = {"raspberry_pi_base_found": {**PI_4, **found}}
    assert Templar(DataLoader(), variables).evaluate_conditional(remove["when"]) is goes
