"""Errors say what failed, what to do, and with which code a command ends."""

from infracore.errors import InfraError, Locked, Several, Transient, Unauthorised, Unsupported
from infracore.exitcodes import ExitCode


def test_errors_carry_what_failed_and_what_to_do() -> None:
    error = Transient("the cloud is busy", "try later", retry_after_s=3.0)
    assert (str(error), error.hint, error.retry_after_s, error.exit_code) == (
        "the cloud is busy",
        "try later",
        3.0,
        ExitCode.FAILED,
    )
    assert (Unauthorised("x").exit_code, Locked("x").exit_code) == (ExitCode.CREDENTIALS, ExitCode.LOCKED)


def test_several_errors_are_reported_together() -> None:
    error = Several([InfraError("a", "do a"), Locked("b"), InfraError("c", "do c")])
    assert (error.message, error.hint, len(error.errors)) == ("a\nb\nc", "do a\ndo c", 3)


def test_several_errors_end_with_the_code_that_all_have() -> None:
    assert Several([Unsupported("a"), Unsupported("b")]).exit_code is ExitCode.INVALID
    assert Several([Unsupported("a"), Locked("b")]).exit_code is ExitCode.FAILED
