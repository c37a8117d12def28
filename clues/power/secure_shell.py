"""Shutting a machine down by the system's `ssh`."""

from collections.abc import Sequence

import msgspec

from infracore.deadline import Deadline
from infracore.errors import CommandFailed, Misconfigured, Transient, Unauthorised
from infracore.outlets.halting import Answer
from infracore.process import Completed, run

__all__ = ["SaysNothing", "SshSettings", "ask", "ask_to_go", "shut_down", "ssh"]


class SaysNothing(Transient):
    """The machine takes connections, and nobody speaks there: its kernel runs."""


class SshSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How machines are reached."""

    program: tuple[str, ...] = ("ssh",)
    user: str = "root"
    key: str = ""
    """Path of the private key; "": as ssh's own settings say."""
    port: int = 22
    known_hosts: str = ""
    """Path; "": ssh's own. Host keys are always checked."""
    connect_s: int = 5
    options: tuple[str, ...] = ()
    """More `-o` options (`ProxyJump=...`)."""
    off_command: tuple[str, ...] = ("sudo", "-n", "systemctl", "poweroff")


def ask(settings: SshSettings, address: str, command: Sequence[str], deadline: Deadline) -> Completed | Answer:
    """Run a command on the machine; REFUSED or SILENT where it takes no connection.

    Status 255: the connection broke, or was not let come about by something that listens there.

    Raises:
        Unauthorised: it answers, and lets us not in. Misconfigured: there is no such host.
        Transient, TimedOut: it cannot be told.
    """
    argv = [*settings.program, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
    argv += ["-o", f"ConnectTimeout={settings.connect_s}", "-o", "ServerAliveInterval=3", "-p", str(settings.port)]
    if settings.key:
        argv += ["-i", settings.key, "-o", "IdentitiesOnly=yes"]
    if settings.known_hosts:
        argv += ["-o", f"UserKnownHostsFile={settings.known_hosts}"]
    for option in settings.options:
        argv += ["-o", option]
    done = run(
        [*argv, "-l", settings.user, "--", address, *command],
        timeout_s=deadline.left(),
        cancel=deadline.closing,
        check=False,
    )
    return done if done.status != 255 else _no_login(address, done)


def _no_login(address: str, done: Completed) -> Completed | Answer:
    """Tell what ssh means by status 255."""
    said = " ".join(done.stderr.split())[-300:]
    low = " ".join(done.stderr.split()).lower()
    if any(word in low for word in ("permission denied", "host key verification failed", "too many authentication")):
        raise Unauthorised(f"ssh to {address} is refused: {said}", "see `ssh` of the driver: user, key, known_hosts")
    if "could not resolve hostname" in low and "temporary failure" not in low:
        raise Misconfigured(f"ssh: {said}", "see the machine's `address` or `node`, and `hosts` of the driver")
    _, is_told_by_jump_host, of_jump_host = low.partition("open failed: connect failed: ")
    if is_told_by_jump_host:  # what follows is of the connection to the jump host, which the machine did not end
        low = of_jump_host.partition("stdio forwarding")[0]
    elif "closed by unknown port" in low:  # of ProxyJump or ProxyCommand, which ended: that says nothing of the machine
        raise Transient(f"ssh to {address}: nothing leads to it now: {said}")
    if any(word in low for word in ("closed by", "connection reset", "broken pipe", "not responding")):
        return Completed(255, done.stdout, done.stderr)  # it went down under us, which is what was asked for
    if "network is unreachable" in low:  # ours, not the machine: that says nothing of it
        raise Transient(f"ssh to {address}: {said}")
    if "banner exchange" in low:
        raise SaysNothing(f"ssh to {address}: it takes the connection and says nothing: {said}")
    if "refused" in low:
        return Answer.REFUSED
    if any(word in low for word in ("timed out", "no route", "unreachable", "host is down")):
        return Answer.SILENT
    raise Transient(f"ssh to {address}: {said or 'failed'}")


def ssh(settings: SshSettings, address: str, command: Sequence[str], deadline: Deadline) -> Completed | None:
    """Run a command on the machine; None: nothing takes a connection there. Raises what `ask` raises."""
    done = ask(settings, address, command, deadline)
    return None if isinstance(done, Answer) else done


def ask_to_go(settings: SshSettings, address: str, deadline: Deadline) -> Completed | Answer:
    """Ask the machine to go off. Blocks until the command ends. Raises what `ask` raises, and:

    CommandFailed: the command is refused there.
    """
    done = ask(settings, address, settings.off_command, deadline)
    if not isinstance(done, Answer) and done.status not in {0, 255}:
        said = " ".join((done.stderr or done.stdout).split())[-300:]
        raise CommandFailed(f"shutting {address} down ended with status {done.status}: {said}", status=done.status)
    return done


def shut_down(settings: SshSettings, address: str, deadline: Deadline) -> bool:
    """Ask the machine to go off; return whether something answered. Raises what `ask_to_go` raises."""
    return not isinstance(ask_to_go(settings, address, deadline), Answer)
