"""`im doctor`: is all there that the commands need, and how to get what is not."""

import shutil
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from im_client.configure.program import find_program, look_at
from im_client.providers.base import Finding, Severity
from im_client.providers.registry import is_cloud, provider
from im_client.services.context import Context, auth_lines, choose_provider, open_context
from im_client.services.model import DoctorReport
from im_client.settings import Settings, database_url
from infracore.errors import InfraError

__all__ = ["doctor"]


def doctor(
    settings: Settings,
    providers: Sequence[str] = (),
    *,
    opened: Callable[[], AbstractContextManager[Context]] = open_context,
) -> DoctorReport:
    """Examine this program, its folders and the named providers (none named: the default one). Changes nothing.

    `opened` opens the recorded state; one that cannot be opened is a finding, and the rest is examined all the same.
    """
    findings = {"program": _program(settings), "state": _state(settings, opened)}
    for name in providers or (settings.provider,):
        findings[name] = _provider(settings, name)
    return DoctorReport(findings=findings)


def _provider(settings: Settings, name: str) -> tuple[Finding, ...]:
    try:
        kind, own = choose_provider(settings, lambda: auth_lines(settings), name)
        found = provider(kind, own, auth_lines(settings) if is_cloud(kind) else ())
        try:
            return tuple(found.check())
        finally:
            found.close()
    except InfraError as error:
        return (Finding("settings", Severity.ERROR, error.message, error.hint),)


def _program(settings: Settings) -> tuple[Finding, ...]:
    found = [Finding("python", Severity.OK, f"Python {sys.version.split()[0]}")]
    ssh = shutil.which("ssh")
    if ssh:
        found.append(Finding("ssh", Severity.OK, ssh))
    else:
        found.append(
            Finding("ssh", Severity.WARNING, "no OpenSSH client", "apt-get install openssh-client; paramiko is used")
        )
    try:
        program = look_at(find_program(settings.ansible), settings.cache_dir)
        found.append(Finding("ansible", Severity.OK, f"ansible-core {program.core} ({program.path})"))
        if program.mitogen_works:
            found.append(Finding("mitogen", Severity.OK, f"mitogen {program.mitogen} works with it"))
        else:
            text = f"mitogen {program.mitogen} does not work with it" if program.mitogen else "mitogen is not installed"
            found.append(Finding("mitogen", Severity.WARNING, f"{text}: plain connections, about three times slower"))
    except InfraError as error:
        found.append(Finding("ansible-playbook", Severity.ERROR, error.message, error.hint or "run: make venv"))
    return tuple(found)


def _state(settings: Settings, opened: Callable[[], AbstractContextManager[Context]]) -> tuple[Finding, ...]:
    folder = settings.state_dir
    try:
        with opened() as ctx:
            count = len(ctx.store.infrastructures())
        place = "PostgreSQL" if database_url(settings) else folder
        text = f"{place}: {count} infrastructures, their secrets open with the key file"
        found = [Finding("store", Severity.OK, text)]
    except InfraError as error:
        found = [Finding("store", Severity.ERROR, error.message, error.hint)]
    except (OSError, sqlite3.Error) as error:
        found = [
            Finding("store", Severity.ERROR, f"{folder} cannot be used: {error}", "another folder: set IM_STATE_DIR")
        ]
    return (*found, _disk(folder))


def _disk(folder: Path) -> Finding:
    there = next((f for f in (folder, *folder.absolute().parents) if f.is_dir()), Path("/"))
    free = shutil.disk_usage(there).free
    is_enough = free > 2 * 2**30
    severity = Severity.OK if is_enough else Severity.WARNING
    return Finding("disk", severity, f"{free / 2**30:.1f} GiB free in {folder}", "" if is_enough else "free some")
