"""The exit codes of every command, frozen: scripts depend on them."""

from enum import IntEnum

__all__ = ["ExitCode"]


class ExitCode(IntEnum):
    """What a command's exit status means."""

    DONE = 0
    FAILED = 1
    INVALID = 2
    """Wrong usage, settings or template; nothing was changed."""
    CHANGES_PENDING = 3
    """Only with `im plan --detailed-exitcode`: the plan is not empty."""
    PARTLY_DONE = 4
    """Some nodes failed, the others are done; running the same command again resumes."""
    CREDENTIALS = 5
    LOCKED = 6
    """Another command is changing the same infrastructure."""
    INTERRUPTED = 130
