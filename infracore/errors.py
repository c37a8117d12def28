"""The errors of this project, by what the caller can do about them.

Adapters translate vendor errors into these with `raise ... from`; nothing else lets a vendor error out.
"""

from collections.abc import Sequence
from typing import ClassVar

from infracore.exitcodes import ExitCode

__all__ = [
    "Cancelled",
    "CommandFailed",
    "Conflict",
    "InfraError",
    "InvalidUsage",
    "Locked",
    "Misconfigured",
    "NoCapacity",
    "NoSpace",
    "NotFound",
    "PartlyDone",
    "QuotaExceeded",
    "Several",
    "TimedOut",
    "Transient",
    "Unauthorised",
    "Unsupported",
]


class InfraError(Exception):
    """The root: what failed, on what and why (`message`), and what to do next (`hint`)."""

    code: ClassVar[str] = "error"
    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class InvalidUsage(InfraError):
    """The command's words do not fit; nothing was changed."""

    code = "invalid-usage"
    exit_code = ExitCode.INVALID


class Misconfigured(InfraError):
    """A setting, file or program that the user must mend first."""

    code = "misconfigured"
    exit_code = ExitCode.INVALID


class NoSpace(Misconfigured):
    """The disk is full."""

    code = "no-space"


class NotFound(InfraError):
    """The named thing does not exist."""

    code = "not-found"


class QuotaExceeded(InfraError):
    """The account may not have more; another provider may."""

    code = "quota-exceeded"


class NoCapacity(InfraError):
    """The provider has no room now; later, or another provider, may."""

    code = "no-capacity"


class Unauthorised(InfraError):
    """Credentials are missing, wrong, expired or do not allow it. Never retried."""

    code = "unauthorised"
    exit_code = ExitCode.CREDENTIALS


class Unsupported(InfraError):
    """The provider cannot honour what is asked; refused when planning, not in the middle."""

    code = "unsupported"
    exit_code = ExitCode.INVALID


class Transient(InfraError):
    """May succeed when repeated, not before `retry_after_s` seconds if that is given."""

    code = "transient"

    def __init__(self, message: str, hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, hint)
        self.retry_after_s = retry_after_s


class TimedOut(InfraError):
    """A time limit ran out."""

    code = "timed-out"


class Conflict(InfraError):
    """The world is not what the caller saw: look again, then decide anew."""

    code = "conflict"


class Locked(Conflict):
    """Another process is changing the same infrastructure."""

    code = "locked"
    exit_code = ExitCode.LOCKED


class CommandFailed(InfraError):
    """A program ended with a failure."""

    code = "command-failed"

    def __init__(self, message: str, hint: str = "", *, status: int = 1, stderr: str = "") -> None:
        super().__init__(message, hint)
        self.status = status
        self.stderr = stderr


class Cancelled(InfraError):
    """The user or a signal asked to stop."""

    code = "cancelled"
    exit_code = ExitCode.INTERRUPTED


class PartlyDone(InfraError):
    """Some nodes failed and others are done; the state is saved and the command can be run again."""

    code = "partly-done"
    exit_code = ExitCode.PARTLY_DONE


class Several(InfraError):
    """More than one failure, reported together. The exit code is the one that all have, else FAILED."""

    code = "several"

    def __init__(self, errors: Sequence[InfraError]) -> None:
        super().__init__("\n".join(e.message for e in errors), "\n".join(e.hint for e in errors if e.hint))
        self.errors = tuple(errors)
        codes = {error.exit_code for error in errors}
        self.exit_code = codes.pop() if len(codes) == 1 else ExitCode.FAILED
