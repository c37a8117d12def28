"""The environment that Ansible runs in: all settings are ours, none of the user's `ansible.cfg`."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from im_client.configure.model import AnsibleSettings, Strategy
from im_client.configure.program import Program

__all__ = ["environment"]

_HERE = Path(__file__).parent
_KEPT = ("ANSIBLE_VAULT_", "ANSIBLE_GALAXY_")
_CONTROL_PERSIST_S = 60


def environment(
    settings: AnsibleSettings,
    program: Program,
    strategy: Strategy,
    *,
    scratch: Path,
    cache_dir: Path,
    roles: Sequence[Path],
    collections: Sequence[Path],
    events_fd: int,
    base: Mapping[str, str],
) -> dict[str, str]:
    """Return the environment. `scratch` has a short path: the sockets of ssh are made in it (unix(7): 108 bytes)."""
    kept = {k: v for k, v in base.items() if not k.startswith("ANSIBLE_") or k.startswith(_KEPT)}
    paths = os.pathsep.join
    ours = {
        "ANSIBLE_CONFIG": str(scratch / "ansible.cfg"),
        "ANSIBLE_HOME": str(cache_dir / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(scratch / "t"),
        "ANSIBLE_STDOUT_CALLBACK": "im_jsonl",
        "ANSIBLE_CALLBACK_PLUGINS": str(_HERE / "callback"),
        "ANSIBLE_LIBRARY": str(_HERE / "library"),
        "ANSIBLE_ROLES_PATH": paths(map(str, roles)),
        "ANSIBLE_COLLECTIONS_PATH": paths(map(str, collections)),
        "ANSIBLE_FORKS": str(settings.forks),
        "ANSIBLE_TIMEOUT": str(max(1, round(settings.connect_timeout_s))),
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_GATHERING": "smart",
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_SSH_ARGS": f"-o ControlMaster=auto -o ControlPersist={_CONTROL_PERSIST_S}s",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(scratch / "c"),
        "ANSIBLE_SSH_RETRIES": "3",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
        "ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS": "ignore",
        "ANSIBLE_INVENTORY_ENABLED": "yaml",
        "ANSIBLE_NOCOLOR": "True",
        "ANSIBLE_NOCOWS": "True",
        "IM_EVENTS_FD": str(events_fd),
        "LC_ALL": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
    }
    if strategy is Strategy.MITOGEN:
        ours["ANSIBLE_STRATEGY"] = "mitogen_linear"
        ours["ANSIBLE_STRATEGY_PLUGINS"] = str(Path(program.mitogen_folder) / "plugins" / "strategy")
    return {**kept, **ours}
