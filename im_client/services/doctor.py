"""`im doctor`: is all there that the commands need, and how to get what is not."""

import shutil
import sys
from collections.abc import Sequence

from im_client.configure.program import find_program, look_at
from im_client.providers.base import Finding, Severity
from im_client.services.context import Context
from im_client.services.model import DoctorReport
from infracore.errors import InfraError

__all__ = ["doctor"]


def doctor(ctx: Context, providers: Sequence[str] = ()) -> DoctorReport:
    """Examine this program, its folders and the named providers (none named: the default one). Changes nothing."""
    findings = {"program": _program(ctx), "state": _state(ctx)}
    for name in providers or (ctx.settings.provider,):
        try:
            findings[name] = tuple(ctx.provider(name).check())
        except InfraError as error:
            findings[name] = (Finding("settings", Severity.ERROR, error.message, error.hint),)
    return DoctorReport(findings=findings)


def _program(ctx: Context) -> tuple[Finding, ...]:
    found = [Finding("python", Severity.OK, f"Python {sys.version.split()[0]}")]
    ssh = shutil.which("ssh")
    if ssh:
        found.append(Finding("ssh", Severity.OK, ssh))
    else:
        found.append(
            Finding("ssh", Severity.WARNING, "no OpenSSH client", "apt-get install openssh-client; paramiko is used")
        )
    try:
        program = look_at(find_program(ctx.settings.ansible), ctx.settings.cache_dir)
        found.append(Finding("ansible", Severity.OK, f"ansible-core {program.core} ({program.path})"))
        if program.mitogen_works:
            found.append(Finding("mitogen", Severity.OK, f"mitogen {program.mitogen} works with it"))
        else:
            text = f"mitogen {program.mitogen} does not work with it" if program.mitogen else "mitogen is not installed"
            found.append(Finding("mitogen", Severity.WARNING, f"{text}: plain connections, about three times slower"))
    except InfraError as error:
        found.append(Finding("ansible-playbook", Severity.ERROR, error.message, error.hint or "run: make venv"))
    return tuple(found)


def _state(ctx: Context) -> tuple[Finding, ...]:
    folder = ctx.settings.state_dir
    free = shutil.disk_usage(folder).free
    severity = Severity.OK if free > 2 * 2**30 else Severity.WARNING
    count = len(ctx.store.infrastructures())
    return (
        Finding("store", Severity.OK, f"{folder}: {count} infrastructures, their secrets open with the key file"),
        Finding(
            "disk", severity, f"{free / 2**30:.1f} GiB free in {folder}", "" if severity is Severity.OK else "free some"
        ),
    )
