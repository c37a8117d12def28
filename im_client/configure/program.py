"""Which `ansible-playbook` there is, its version, and whether mitogen works with it."""

import hashlib
import json
import os
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from im_client.configure.model import AnsibleSettings, Strategy
from infracore.errors import InfraError, Misconfigured
from infracore.process import run

__all__ = ["Program", "choose_strategy", "find_program", "look_at"]

_LOOK = """
import json, sys
from ansible.release import __version__ as core
try:
    import mitogen, ansible_mitogen, os
    mitogen, folder = ".".join(map(str, mitogen.__version__)), os.path.dirname(ansible_mitogen.__file__)
except ImportError:
    mitogen, folder = "", ""
json.dump({"core": core, "mitogen": mitogen, "mitogen_folder": folder}, sys.stdout)
"""

_TRIAL = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.command: {cmd: echo im-trial}
      register: answer
    - ansible.builtin.assert: {that: answer.stdout == 'im-trial'}
"""


@dataclass(frozen=True, slots=True)
class Program:
    """An installed Ansible. `mitogen` is its version, "" where it is not installed beside it."""

    path: str
    core: str
    mitogen: str = ""
    mitogen_folder: str = ""
    mitogen_works: bool = False


def find_program(settings: AnsibleSettings) -> str:
    """Return the path of `ansible-playbook`: the setting, the one beside this Python, the one on PATH.

    Raises:
        Misconfigured: there is none.
    """
    beside = Path(sys.executable).parent / "ansible-playbook"
    found = settings.program or (str(beside) if beside.exists() else shutil.which("ansible-playbook"))
    if not found or not os.access(found, os.X_OK):
        raise Misconfigured(
            f"ansible-playbook is not installed{f' at {found}' if found else ''}",
            "pip install ansible-core, or set ansible.program",
        )
    return str(found)


def look_at(path: str, cache_dir: Path) -> Program:
    """Return what is known of an Ansible; tried once and remembered while its files are the same.

    The trial runs two tasks on this computer through mitogen: its releases state the oldest ansible-core that they
    work with, and no newest. Blocks for some seconds the first time, for a millisecond later.
    """
    python = _interpreter(path)
    status = Path(path).stat()
    mark = f"{path} {status.st_mtime_ns} {python} {_stamp(python)}"
    memory = cache_dir / "ansible" / f"program-{hashlib.sha256(mark.encode()).hexdigest()[:16]}.json"
    try:
        return Program(**json.loads(memory.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        pass
    seen = json.loads(run((python, "-c", _LOOK), timeout_s=60).stdout)
    works = bool(seen["mitogen"]) and _mitogen_works(path, seen["mitogen_folder"], memory.parent)
    program = Program(path=path, mitogen_works=works, **seen)
    memory.parent.mkdir(parents=True, exist_ok=True)
    fresh = memory.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(asdict(program)), encoding="utf-8")
    fresh.replace(memory)
    return program


def choose_strategy(wanted: Strategy, program: Program) -> Strategy:
    """Return PLAIN or MITOGEN.

    Raises:
        Misconfigured: MITOGEN is asked for and does not work with this Ansible.
    """
    if wanted is Strategy.MITOGEN and not program.mitogen_works:
        what = f"mitogen {program.mitogen} does not work" if program.mitogen else "there is no mitogen"
        raise Misconfigured(
            f"{what} with ansible-core {program.core} ({program.path})",
            "set ansible.strategy to auto or plain, or: pip install --upgrade mitogen",
        )
    use = wanted is not Strategy.PLAIN and program.mitogen_works
    return Strategy.MITOGEN if use else Strategy.PLAIN


def _interpreter(path: str) -> str:
    """Return the Python that a script's first line names."""
    with Path(path).open("rb") as script:
        first = script.readline(4096).decode(errors="replace").strip()
    words = first.removeprefix("#!").split()
    if first.startswith("#!") and words and "python" in words[-1]:
        found = words[0] if "env" not in Path(words[0]).name else shutil.which(words[-1])
        if found:
            return found
    return sys.executable


def _stamp(python: str) -> str:
    """Return when packages were last installed into or removed from an environment."""
    folders = Path(python).parent.parent.glob("lib/python3*/site-packages")
    return " ".join(str(f.stat().st_mtime_ns) for f in folders)


def _mitogen_works(path: str, folder: str, scratch: Path) -> bool:
    scratch.mkdir(parents=True, exist_ok=True)
    trial = scratch / f"trial-{os.getpid()}.yml"
    trial.write_text(_TRIAL, encoding="utf-8")
    env = {
        "ANSIBLE_STRATEGY": "mitogen_linear",
        "ANSIBLE_STRATEGY_PLUGINS": str(Path(folder) / "plugins" / "strategy"),
        "ANSIBLE_CONFIG": str(trial.with_suffix(".cfg")),
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        "LC_ALL": "C.UTF-8",
    }
    inventory = "trial ansible_connection=local ansible_python_interpreter={{ansible_playbook_python}}"
    hosts = trial.with_suffix(".ini")
    trial.with_suffix(".cfg").write_text("[defaults]\n", encoding="utf-8")
    hosts.write_text(inventory + "\n", encoding="utf-8")
    try:
        run((path, "-i", hosts, trial), timeout_s=60, env=env)
    except InfraError:
        return False
    finally:
        trial.unlink()
        hosts.unlink()
        trial.with_suffix(".cfg").unlink()
    return True
