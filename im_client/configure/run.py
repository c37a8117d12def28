"""Runs plays on machines: one `ansible-playbook` for all of them, results per machine."""

import dataclasses
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from im_client.configure.child import Ending, run_child
from im_client.configure.environ import environment
from im_client.configure.events import Recorder
from im_client.configure.fetch import local_file
from im_client.configure.galaxy import Installed, install
from im_client.configure.model import AnsibleSettings, Failure, Host, Play, PlayEvent, RunResult, Strategy
from im_client.configure.playfiles import Playfile
from im_client.configure.program import Program, choose_strategy, find_program, look_at
from im_client.configure.workspace import Workspace, site_text
from im_client.remote.private import private_folder
from im_client.topology.values import Value
from infracore.content import content_folder
from infracore.errors import InfraError, Misconfigured, NotFound
from infracore.process import run as run_program
from infracore.secrets import Secret

__all__ = ["run"]

_LOG_NAME = "ansible.log"
_ERROR_LINE = re.compile(r"(?:\[ERROR\]|ERROR!|fatal)[: ]*(.*)")


def run(
    plays: Sequence[Play],
    hosts: Sequence[Host],
    *,
    settings: AnsibleSettings,
    run_dir: Path,
    cache_dir: Path,
    listener: Callable[[PlayEvent], None],
    cancel: threading.Event,
    secrets: Sequence[Secret] = (),
    limit: tuple[str, ...] | None = None,
) -> RunResult:
    """Run plays in order on their machines and say what became of each machine.

    `hosts` are all machines of the infrastructure: those that no play names are there for `hostvars`. `limit` keeps
    the plays to some machines. A machine on which something fails takes part in no later play; the others go on.
    Files with keys and inputs lie in memory and are gone at the end. The log for people, without secrets, is
    `run_dir/ansible.log`. Blocks until all is done, `settings.timeout_s` is over (the machines that were not done
    fail), or `cancel` is set (ended within 10 s).

    Raises:
        Misconfigured: Ansible is not installed, mitogen is asked for and does not work, a host key is not known.
        Transient, CommandFailed: roles or collections that are required cannot be installed.
    """
    started = time.monotonic()
    plays = [p for p in (_limited(play, limit) for play in plays) if p.hosts]
    run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    log_path = run_dir / _LOG_NAME
    program = look_at(find_program(settings), cache_dir)
    strategy = choose_strategy(settings.strategy, program)
    installed = install(
        (a for play in plays for a in play.requires),
        program=program.path,
        cache_dir=cache_dir,
        offline=settings.offline,
    )
    hidden = tuple({*secrets, *_secrets(plays, hosts)})
    with private_folder() as scratch, log_path.open("a", encoding="utf-8") as log:
        log_path.chmod(0o600)
        space = Workspace(scratch, plays, hosts, settings)
        recorder = Recorder(plays, lines=space.maker.lines, secrets=hidden, log=log, listener=listener)
        session = _Session(
            space=space,
            plays=plays,
            recorder=recorder,
            program=program,
            strategy=strategy,
            settings=settings,
            installed=installed,
            cache_dir=cache_dir,
            cancel=cancel,
            started=started,
        )
        recorder.note(f"ansible-core {program.core}, strategy {strategy.value}, {len(hosts)} machines")
        ending = session.run()
        nodes = recorder.results(ended=recorder.is_ended and ending is Ending.EXITED)
    return RunResult(nodes, log_path, time.monotonic() - started, strategy, cancelled=ending is Ending.CANCELLED)


class _Session:
    """The runs of Ansible that one call needs: one, and another where all machines of a play failed."""

    def __init__(
        self,
        *,
        space: Workspace,
        plays: Sequence[Play],
        recorder: Recorder,
        program: Program,
        strategy: Strategy,
        settings: AnsibleSettings,
        installed: Installed,
        cache_dir: Path,
        cancel: threading.Event,
        started: float,
    ) -> None:
        self._space = space
        self._plays = plays
        self._recorder = recorder
        self._program = program
        self._strategy = strategy
        self._settings = settings
        self._cancel = cancel
        self._cache_dir = cache_dir
        self._started = started
        roles = (*map(Path, settings.roles_path), _own_roles(), *installed.roles)
        self._roles = tuple(r for r in roles if r is not None)
        self._collections = (*map(Path, settings.collections_path), *installed.collections)
        self._files: dict[int, Playfile] = {}
        self._broken: dict[int, Failure] = {}

    def run(self) -> Ending:
        """Run all plays; a failure of the files of one play is a failure of its machines."""
        for number, play in enumerate(self._plays):
            try:
                source = local_file(play.implementation, self._cache_dir, offline=self._settings.offline)
                self._files[number] = self._space.add_play(number, source)
            except InfraError as error:
                self._broken[number] = self._failure(play, error.message)
        ending = Ending.EXITED
        while ending is Ending.EXITED and (todo := self._next()):
            before = (self._recorder.started, len(self._broken))
            ending = self._play(todo)
            if ending is Ending.EXITED and (self._recorder.started, len(self._broken)) == before:
                self._find_broken(todo)
                if len(self._broken) == before[1]:
                    self._fail_all(todo, _error_of(self._recorder.output))
        if ending is Ending.TIMED_OUT:
            self._fail_all(self._unended(), f"the run did not end within {self._settings.timeout_s:g} s")
        return ending

    def _next(self) -> list[int]:
        """Return the plays to run now: those not begun that have a machine left, up to the next broken one.

        A broken play that is in front fails its machines.
        """
        todo: list[int] = []
        for number, play in enumerate(self._plays):
            if number in self._recorder.started or self._recorder.failed.issuperset(play.hosts):
                continue
            if number not in self._broken:
                todo.append(number)
            elif todo:
                break
            else:
                for name in play.hosts:
                    self._recorder.fail(name, dataclasses.replace(self._broken[number], node=name))
        return todo

    def _unended(self) -> list[int]:
        """Return the plays that were not done when the time was over: the newest and those not begun."""
        newest = max(self._recorder.started, default=-1)
        return [n for n in range(len(self._plays)) if n == newest or n not in self._recorder.started]

    def _play(self, numbers: Sequence[int]) -> Ending:
        site = self._space.folder / "site.yml"
        site.write_text(site_text(self._files[n] for n in numbers), encoding="utf-8")
        self._space.write_inventory(without=self._recorder.failed)
        self._recorder.is_ended = False
        argv = [self._program.path, "-i", str(self._space.inventory), str(site)]
        if self._settings.verbosity:
            argv.append("-" + "v" * min(self._settings.verbosity, 6))
        _, ending = run_child(
            argv,
            environment=self._environment,
            cwd=self._space.folder,
            on_event=self._recorder.take_event,
            on_output=self._recorder.take_output,
            cancel=self._cancel,
            timeout_s=max(0.0, self._settings.timeout_s - (time.monotonic() - self._started)),
        )
        return ending

    def _environment(self, events_fd: int) -> Mapping[str, str]:
        return environment(
            self._settings,
            self._program,
            self._strategy,
            scratch=self._space.folder,
            cache_dir=self._cache_dir,
            roles=self._roles,
            collections=self._collections,
            events_fd=events_fd,
            base=os.environ,
        )

    def _find_broken(self, numbers: Sequence[int]) -> None:
        """Nothing began: look which plays Ansible cannot read, one at a time."""
        for number in numbers:
            site = self._space.folder / "check.yml"
            site.write_text(site_text([self._files[number]]), encoding="utf-8")
            argv = (self._program.path, "--syntax-check", "-i", str(self._space.inventory), str(site))
            done = run_program(argv, timeout_s=120, env=self._environment(2), check=False)
            if done.status != 0:
                said = f"{done.stdout}\n{done.stderr}".strip().splitlines()
                self._broken[number] = self._failure(self._plays[number], _error_of(said), said)

    def _failure(self, play: Play, message: str, said: Sequence[str] = ()) -> Failure:
        return Failure(
            node="",
            play=play.id,
            task="",
            file=play.implementation.location,
            line=0,
            message=message,
            last_lines=tuple(said[-10:]),
        )

    def _fail_all(self, numbers: Iterable[int], message: str) -> None:
        for number in numbers:
            for name in self._plays[number].hosts:
                self._recorder.fail(name, dataclasses.replace(self._failure(self._plays[number], message), node=name))


def _limited(play: Play, limit: tuple[str, ...] | None) -> Play:
    return play if limit is None else dataclasses.replace(play, hosts=tuple(h for h in play.hosts if h in limit))


def _own_roles() -> Path | None:
    try:
        return content_folder() / "playbooks" / "roles"
    except (Misconfigured, NotFound):
        return None


def _error_of(said: Sequence[str]) -> str:
    """Return the line in which Ansible says what is wrong."""
    for line in said:
        found = _ERROR_LINE.search(line)
        if found and found[1].strip():
            return found[1].strip()
    return said[-1] if said else "Ansible ended before it began, and said nothing"


def _secrets(plays: Iterable[Play], hosts: Iterable[Host]) -> set[Secret]:
    """Return every secret that Ansible is told, so that the log can be cleaned of them."""
    found: set[Secret] = set()
    for play in plays:
        for inputs in play.inputs.values():
            _collect(tuple(inputs.values()), found)
    for host in hosts:
        access = host.access
        _collect((*host.variables.values(), access.password, access.become_password), found)
    return {secret for secret in found if secret}


def _collect(value: Value, found: set[Secret]) -> None:
    if isinstance(value, Secret):
        found.add(value)
    elif isinstance(value, Mapping):
        _collect(tuple(value.values()), found)
    elif isinstance(value, tuple | list):
        for item in value:
            _collect(item, found)
