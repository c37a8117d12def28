"""`clues doctor`: every part that cluesd needs, looked at one after the other; a part that fails hides no other."""

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from clues.settings import ClusterKind, Settings
from clues.settings.checks import warnings_of
from infracore.errors import InfraError, NotFound
from infracore.process import run
from infracore.units import format_duration

__all__ = ["Examination", "Finding", "Severity", "examine"]

_PROGRAM_S: Final = 10.0
_ENOUGH_BYTES: Final = 1 << 30
_UNIT: Final = "cluesd.service"


class Severity(StrEnum):
    """Of a finding."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was seen, and how to mend it."""

    area: str
    check: str
    severity: Severity
    text: str
    remedy: str = ""


Examination = Callable[[Settings], Sequence[Finding]]
"""Looks at one area. What it raises (InfraError, OSError) becomes a finding."""


def examine(load: Callable[[], Settings], parts: Mapping[str, Examination] | None = None) -> tuple[Finding, ...]:
    """Return all findings. Settings that are wrong are one; what needs none of them is examined all the same."""
    found: list[Finding] = []
    settings = Settings()
    try:
        settings = load()
        pools = ", ".join(pool.name for pool in settings.pools) or "no pools: nothing can be ordered"
        severity = Severity.OK if settings.pools else Severity.WARNING
        found.append(Finding("settings", "file", severity, f"well; {pools}", "" if settings.pools else "add `pools`"))
        doubts = warnings_of(settings) if settings.pools else []
        found += [Finding("settings", "pools", Severity.WARNING, said, "say it there") for _, said in doubts[:20]]
    except InfraError as error:
        found.append(
            Finding("settings", "file", Severity.ERROR, error.message, error.hint or "run: clues config check")
        )
    for area, part in (PARTS if parts is None else parts).items():
        try:
            found += part(settings)
        except InfraError as error:
            found.append(Finding(area, area, Severity.ERROR, error.message, error.hint))
        except OSError as error:
            found.append(Finding(area, area, Severity.ERROR, str(error)))
    return tuple(found)


def _cluster(settings: Settings) -> list[Finding]:
    match settings.cluster:
        case ClusterKind.SLURM:
            from clues.cli.examine_slurm import examine_changes, examine_slurm
            from clues.sources.slurm_asked import commands_of, slurm_of

            asked = slurm_of(settings.slurm)
            found = examine_changes(asked, commands_of(settings.slurm))
            return [*found, *examine_slurm(settings, asked)]
        case ClusterKind.COMMAND:
            from clues.cli.examine_slurm import examine_slurm
            from clues.sources.command import programs_of

            return examine_slurm(settings, programs_of(settings.command))
        case ClusterKind.KUBERNETES:
            return _kubernetes(settings)


def _kubernetes(settings: Settings) -> list[Finding]:
    from clues.cli.examine_cluster import Answer, examine_cluster
    from clues.kubeapi.api import Api, connection_of

    options = settings.kubernetes
    connection = connection_of(options.kubeconfig, options.context, os.environ)
    api = Api(connection, connect_s=options.connect_s, request_s=options.request_s)

    def ask(method: str, path: str, body: Mapping[str, Any] | None) -> Answer:
        answer = api.request(method, path, body)
        said = answer.json()
        return Answer(said if isinstance(said, dict) else {}, answer.date)

    try:
        return examine_cluster(settings, ask)
    finally:
        api.close()


def _daemon(settings: Settings) -> list[Finding]:
    from clues.api.client import Client, NotRunning

    try:
        status = Client(settings.daemon.socket, timeout_s=5.0).status()
    except NotRunning as error:
        return [Finding("daemon", "socket", Severity.WARNING, error.message, error.hint)]
    role = "decides" if status.leader else f"waits: {status.holder or 'another'} decides"
    found = [Finding("daemon", "socket", Severity.OK, f"version {status.version} on {settings.daemon.socket}; {role}")]
    if status.last_pass_at is None or status.now - status.last_pass_at > 60:
        since = status.now - (status.last_pass_at or status.started_at)
        found.append(
            Finding("daemon", "loop", Severity.ERROR, f"no pass for {format_duration(since)}", "journalctl -u cluesd")
        )
    found += [Finding("daemon", "problem", Severity.WARNING, text) for text in status.problems[:20]]
    return found


def _state(settings: Settings) -> list[Finding]:
    folder = settings.daemon.state_dir
    there = next((f for f in (folder, *folder.absolute().parents) if f.is_dir()), Path("/"))
    found = []
    if not folder.is_dir():
        text = f"{folder} is not there yet; cluesd makes it"
        if os.access(there, os.W_OK):
            found.append(Finding("state", "folder", Severity.OK, text))
        else:
            remedy = "run this as the user of cluesd, or make the folder for it"
            found.append(Finding("state", "folder", Severity.WARNING, f"{text}, and this user could not", remedy))
    elif os.access(folder, os.W_OK | os.X_OK):
        found.append(Finding("state", "folder", Severity.OK, f"{folder} can be written"))
    else:
        remedy = "only cluesd's user needs to: run clues doctor as that user to be sure"
        found.append(Finding("state", "folder", Severity.WARNING, f"this user may not write in {folder}", remedy))
    free = shutil.disk_usage(there).free
    severity = Severity.OK if free > _ENOUGH_BYTES else Severity.WARNING
    remedy = "" if severity is Severity.OK else "free some, or lower report.recordings_bytes"
    found.append(Finding("state", "disk", severity, f"{free / 2**30:.1f} GiB free", remedy))
    if os.access(folder / "history.db", os.R_OK):
        from clues.history import History

        try:
            History.for_reading(folder / "history.db")
            found.append(Finding("state", "history", Severity.OK, f"{folder / 'history.db'} can be read"))
        except NotFound:
            pass
        except InfraError as error:
            found.append(Finding("state", "history", Severity.ERROR, error.message, error.hint))
    return found


def _drivers(settings: Settings) -> list[Finding]:
    if not settings.drivers:
        return [
            Finding("drivers", "drivers", Severity.WARNING, "there are none: nothing can be powered", "add `drivers`")
        ]
    from clues.power.registry import load_drivers

    found = []
    for name, options in settings.drivers.items():
        pools = [pool for pool in settings.pools if pool.driver == name]
        try:
            for driver in load_drivers({name: options}, pools).values():
                try:
                    wrong = driver.check()
                finally:
                    driver.close()
                found += [Finding("drivers", name, Severity.ERROR, text) for text in wrong]
                if not wrong:
                    found.append(Finding("drivers", name, Severity.OK, f"type {options.get('type', '?')}, well"))
        except InfraError as error:
            found.append(Finding("drivers", name, Severity.ERROR, error.message, error.hint))
    return found


def _service(_settings: Settings) -> list[Finding]:
    try:
        said = run(
            ["systemctl", "show", _UNIT, "--property=LoadState,ActiveState,UnitFileState,NRestarts"],
            timeout_s=_PROGRAM_S,
        ).stdout
    except InfraError as error:
        text = f"systemd cannot be asked: {error.message.splitlines()[0]}"
        return [
            Finding("service", _UNIT, Severity.WARNING, text, "without systemd, start cluesd --config FILE yourself")
        ]
    state = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    if state.get("LoadState") != "loaded":
        text = f"the unit is not installed ({state.get('LoadState', 'unknown')})"
        return [Finding("service", _UNIT, Severity.WARNING, text, "copy systemd/cluesd.service to /etc/systemd/system")]
    found = []
    active = state.get("ActiveState", "unknown")
    if active == "active":
        restarts = state.get("NRestarts", "0")
        found.append(Finding("service", _UNIT, Severity.OK, f"active, restarted {restarts} times by itself"))
    else:
        found.append(
            Finding("service", _UNIT, Severity.ERROR, f"it is {active}", "systemctl start cluesd; journalctl -u cluesd")
        )
    if state.get("UnitFileState") not in {"enabled", "static", "generated"}:
        text = f"it is {state.get('UnitFileState') or 'not enabled'}: not started with the computer"
        found.append(Finding("service", "boot", Severity.WARNING, text, "systemctl enable cluesd"))
    return found


def _clock(_settings: Settings) -> list[Finding]:
    now = time.time()
    if now < 1_700_000_000:  # a board without a battery that has not heard of the time yet
        return [Finding("clock", "time", Severity.ERROR, "the clock is years behind", "start a time service (chrony)")]
    try:
        said = run(["timedatectl", "show", "--property=NTPSynchronized", "--value"], timeout_s=_PROGRAM_S).stdout
    except InfraError:
        return [Finding("clock", "time", Severity.WARNING, "whether it is synchronised cannot be told", "timedatectl")]
    if said.strip() == "yes":
        return [Finding("clock", "time", Severity.OK, "synchronised")]
    remedy = "start a time service (chrony, systemd-timesyncd): leases and timers depend on it"
    return [Finding("clock", "time", Severity.WARNING, "it is not synchronised", remedy)]


PARTS: Final[Mapping[str, Any]] = {
    "cluster": _cluster,
    "drivers": _drivers,
    "state": _state,
    "daemon": _daemon,
    "service": _service,
    "clock": _clock,
}
