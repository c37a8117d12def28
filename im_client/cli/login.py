"""Logging in by the system's ssh, with keys that exist as files only as long as it runs."""

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from infracore.errors import InvalidUsage, Misconfigured

if TYPE_CHECKING:
    from im_client.remote.access import Access
    from im_client.remote.options import Files
    from im_client.remote.scp import Place

__all__ = ["copy_files", "log_in", "ssh_command_line"]


def log_in(access: "Access", remote: tuple[str, ...]) -> int:
    """Run ssh on this terminal and return its exit code: that of the command on the machine, 255 for ssh's own.

    The words after `--` reach the machine's shell as they are, as with ssh: quote twice what shall stay one word.
    """
    from im_client.remote.openssh import interactive_argv

    return _on_this_terminal("ssh", access, lambda files: interactive_argv(access, files, remote))


def copy_files(access: "Access", sources: "Sequence[Place]", target: "Place", *, recursive: bool) -> int:
    """Run scp on this terminal and return its exit code: 0, or 1 where something was not copied."""
    from im_client.remote.scp import scp_argv

    return _on_this_terminal("scp", access, lambda files: scp_argv(access, files, sources, target, recursive=recursive))


def _on_this_terminal(program: str, access: "Access", make_argv: "Callable[[Files], tuple[str, ...]]") -> int:
    import contextlib
    import shutil
    import signal
    import subprocess
    import tempfile

    from im_client.remote.options import Files
    from im_client.remote.private import private_folder

    if shutil.which(program) is None:
        raise Misconfigured(
            f"the program {program!r} is not installed", "apt-get install openssh-client; or run: im doctor"
        )
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(private_folder())
        argv = make_argv(Files(folder))
        programs = folder
        if os.statvfs(folder).f_flag & os.ST_NOEXEC:  # /dev/shm in containers
            programs = stack.enter_context(private_folder(Path(tempfile.gettempdir())))
        environ = {**os.environ, **_answering(access, folder, programs)}
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the machine
        try:
            return subprocess.Popen(argv, env=environ, preexec_fn=_default_interrupt).wait()  # noqa: PLW1509 - no thread runs yet
        finally:
            signal.signal(signal.SIGINT, before)


def _answering(access: "Access", folder: Path, programs: Path) -> dict[str, str]:
    """Return the variables by which ssh(1) gets a password that is no key: from a program, never from its words."""
    from im_client.remote.private import write_private

    if access.password is None or access.private_key is not None or access.private_key_file is not None:
        return {}
    secret = write_private(folder / "password", access.password.reveal() + "\n")
    program = write_private(programs / "askpass", f"#!/bin/sh\ncat {shlex.quote(str(secret))}\n")
    program.chmod(0o700)
    return {"SSH_ASKPASS": str(program), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": os.environ.get("DISPLAY", ":0")}


def _default_interrupt() -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ssh_command_line(access: "Access", remote: tuple[str, ...], key_file: Path | None) -> tuple[str, str]:
    """Return an ssh command for a person, and a remark about the key or "".

    With `key_file` the private key and the host key are written, and the command uses them.

    Raises:
        InvalidUsage: a file of this name is there already.
    """
    from im_client.remote.hostkeys import known_hosts
    from im_client.remote.options import destination
    from im_client.remote.private import write_private

    words = ["ssh", "-p", str(access.port)]
    remark = ""
    if key_file is not None:
        key_file = key_file.absolute()
        if access.private_key is None:
            raise InvalidUsage(f"{destination(access)} has no key of ours", "your own keys are used for it")
        known = key_file.with_name(key_file.name + ".known_hosts")
        try:
            known.unlink(missing_ok=True)
            write_private(key_file, access.private_key.reveal().rstrip("\n") + "\n")
            write_private(known, known_hosts((access,)))
        except FileExistsError as error:
            raise InvalidUsage(f"{error.filename} is there already", "name another file, or remove it") from error
        except OSError as error:
            raise InvalidUsage(f"cannot write {error.filename}: {os.strerror(error.errno or 0)}") from error
        words += ["-i", str(key_file), "-o", f"UserKnownHostsFile={known}"]
    elif access.private_key is not None:
        remark = "its key is sealed in the state: --key-file FILE writes it, and `im ssh` uses it without a file"
    elif access.private_key_file is not None:
        words += ["-i", access.private_key_file]
    if access.jump is not None:
        words += ["-J", f"{destination(access.jump)}:{access.jump.port}"]
    return shlex.join([*words, destination(access), *remote]), remark
