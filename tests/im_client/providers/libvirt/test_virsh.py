"""What virsh's messages mean, and how several commands share a connection."""

import os
from pathlib import Path

import pytest

from im_client.providers.libvirt.virsh import Virsh, error_of
from infracore.errors import (
    CommandFailed,
    Conflict,
    InfraError,
    Misconfigured,
    NoCapacity,
    NotFound,
    TimedOut,
    Transient,
    Unauthorised,
    Unsupported,
)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("error: failed to get domain 'nope'", NotFound),
        (
            "error: failed to get vol 'x'\nerror: Storage volume not found: no storage vol with matching path 'x'",
            NotFound,
        ),
        (
            "error: failed to get pool 'p'\nerror: Storage pool not found: no storage pool with matching name 'p'",
            NotFound,
        ),
        (
            "error: Failed to update network rig\nerror: Requested operation is not valid: there is an existing dhcp "
            "host entry in network 'rig' that matches \"<host mac='52:54:00:00:00:02' ip='192.168.130.20'/>\"",
            Conflict,
        ),
        (
            "error: Requested operation is not valid: couldn't locate a matching dhcp host entry in network 'rig'",
            NotFound,
        ),
        ("error: Failed to start domain\nerror: Requested operation is not valid: domain is already running", Conflict),
        ("error: Failed to create vol x\nerror: operation failed: storage volume name 'x' already in use", Conflict),
        (
            "error: failed to connect to the hypervisor\nerror: Failed to connect socket to "
            "'/run/libvirt/libvirt-sock': Connection refused",
            Misconfigured,
        ),
        (
            "error: failed to connect to the hypervisor\nerror: Failed to connect socket to "
            "'/var/run/libvirt/libvirt-sock': Permission denied",
            Unauthorised,
        ),
        (
            "error: failed to connect to the hypervisor\nerror: Cannot recv data: a@b: Permission denied (publickey).: "
            "Connection reset by peer",
            Unauthorised,
        ),
        (
            "error: failed to connect to the hypervisor\nerror: Cannot recv data: ssh: connect to host h port 22: "
            "No route to host: Connection reset by peer",
            Transient,
        ),
        (
            "error: failed to connect to the hypervisor\nerror: Cannot recv data: ssh: Could not resolve hostname h",
            Misconfigured,
        ),
        ("error: Timed out during operation: cannot acquire state change lock (held by remote)", Transient),
        ("error: End of file while reading data: Input/output error", Transient),
        ("error: cannot set up guest memory 'pc.ram': Cannot allocate memory", NoCapacity),
        ("error: internal error: qemu-img: x: No space left on device", NoCapacity),
        ("error: unsupported configuration: CPU mode 'host-passthrough' is not supported", Unsupported),
        ("error: something else", CommandFailed),
        ("", CommandFailed),
    ],
)
def test_a_message_says_what_kind_of_failure_it_is(said: str, kind: type[InfraError]) -> None:
    error = error_of("virsh start", said)
    assert type(error) is kind
    assert error.message.startswith("virsh start: ")
    assert "\n" not in error.message


def _program(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a `virsh` of the test's in front of others."""
    program = folder / "virsh"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_several_commands_share_a_connection_and_one_that_fails_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as virsh does it: each command's output follows the other, a failing one prints nothing
    body = 'for last; do :; done; echo "$last" | tr ";" "\\n" | while read -r word rest; do '
    body += 'case $word in echo) printf %s "$rest";; bad) ;; *) echo "$word of $rest";; esac; done'
    _program(tmp_path, body, monkeypatch)
    answers = Virsh("qemu:///system").each([["dumpxml", "a"], ["bad", "b"], ["domstate", "c"]])
    assert answers == ["dumpxml of a", "", "domstate of c"]
    assert Virsh("qemu:///system").each([]) == []


def test_a_host_that_cannot_be_asked_is_no_host_without_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(tmp_path, "echo 'error: failed to connect to the hypervisor: Connection refused' >&2; exit 1", monkeypatch)
    with pytest.raises(Misconfigured, match="Connection refused"):
        Virsh("qemu:///system").each([["list"]])


def test_a_host_that_does_not_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path, "exec sleep 60", monkeypatch)
    with pytest.raises(TimedOut, match="does not answer within"):
        Virsh("qemu:///system", 0.2)("list")


def test_virsh_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Misconfigured, match="virsh is not installed") as caught:
        Virsh("qemu:///system")("list")
    assert "libvirt-clients" in caught.value.hint
