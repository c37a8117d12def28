"""The private files of one run: inventory, keys, variables of plays and the plays themselves."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import yaml

from im_client.configure.connection import connection_variables
from im_client.configure.model import AnsibleSettings, Host, Play
from im_client.configure.playfiles import Playfile, PlayMaker
from im_client.inventory.build import Entry, document, plain, text_json
from im_client.remote.options import Files
from im_client.remote.private import write_private
from im_client.topology.model import ArtifactKind
from im_client.topology.values import Value
from infracore.secrets import Secret

__all__ = ["Workspace", "site_text"]

_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Workspace:
    """Writes into a private folder whose path is short, since sockets of ssh are made in it."""

    def __init__(self, folder: Path, plays: Sequence[Play], hosts: Sequence[Host], settings: AnsibleSettings) -> None:
        self.folder = folder
        self.inventory = folder / "hosts.yaml"
        self._plays = plays
        for name in ("c", "t", "keys", "plays", "vars"):
            (folder / name).mkdir(mode=0o700)
        self.maker = PlayMaker(folder / "plays")
        (folder / "ansible.cfg").write_text("[defaults]\n", encoding="utf-8")
        files = Files(folder / "keys")
        self._nodes = tuple(map(_node, hosts))
        self._entries = [
            Entry(
                host.name,
                (host.group,),
                {
                    **host.variables,
                    "im_node": host.name,
                    "im_group": host.group,
                    **connection_variables(
                        host.access,
                        files,
                        connect_timeout_s=settings.connect_timeout_s,
                        control_path=f"{folder}/c/{number}",
                    ),
                },
            )
            for number, host in enumerate(hosts)
        ]

    def write_inventory(self, *, without: Collection[str] = ()) -> None:
        """Write the inventory. Machines of `without` are in it, and in none of the plays."""
        groups = {f"im_play_{n}": [h for h in play.hosts if h not in without] for n, play in enumerate(self._plays)}
        inventory = document(self._entries, variables={"im_nodes": self._nodes}, extra_groups=groups, reveal=True)
        self.inventory.unlink(missing_ok=True)
        write_private(self.inventory, text_json(inventory))

    def add_play(self, number: int, source: Path) -> Playfile:
        """Write the plays of one operation and the variables of each machine in it.

        Raises:
            Misconfigured: the artifact is not what it should be.
        """
        play = self._plays[number]
        folder = self.folder / "vars" / str(number)
        folder.mkdir(mode=0o700)
        write_private(folder / "-.json", "{}")  # Ansible looks at a play once before it knows a machine
        is_script = play.implementation.kind is ArtifactKind.SHELL
        for name in play.hosts:
            inputs = play.inputs.get(name, {})
            variables = _script_variables(inputs) if is_script else inputs
            write_private(folder / f"{name}.json", text_json({k: plain(v, reveal=True) for k, v in variables.items()}))
        header: dict[str, object] = {
            "name": play.id,
            "hosts": f"im_play_{number}",
            "vars": {"im_play": str(number)},
            "vars_files": [f"{folder}/{{{{ inventory_hostname | default('-') }}}}.json"],
        }
        if is_script:
            source.read_text(encoding="utf-8")
            return self.maker.plain({**header, "gather_facts": False, "tasks": [_script_task(source)]}, source)
        return self.maker.tasks(header, source)


def site_text(files: Iterable[Playfile]) -> str:
    """Return the playbook that runs all of them in order."""
    imports = [{"ansible.builtin.import_playbook": str(path)} for one in files for path in one.paths]
    return yaml.safe_dump(imports, sort_keys=False)


def _node(host: Host) -> Mapping[str, Value]:
    return {
        "name": host.name,
        "group": host.group,
        "private_address": host.variables.get("private_address") or host.access.address,
        "public_address": host.variables.get("public_address"),
    }


def _script_variables(inputs: Mapping[str, Value]) -> Mapping[str, Value]:
    """Split the inputs of a script by whether their values are to be masked in what it prints."""
    named = {name: value for name, value in inputs.items() if _ENVIRONMENT_NAME.fullmatch(name)}
    return {
        "im_script_environment": {k: _word(v) for k, v in named.items() if not isinstance(v, Secret)},
        "im_script_hidden": {k: v for k, v in named.items() if isinstance(v, Secret)},
    }


def _word(value: Value) -> Value:
    """Return a value as an environment variable holds it: plain words as they are, the rest as JSON."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int() | float():
            return str(value)
        case _:
            return text_json({"v": plain(value)})[5:-1]


def _script_task(source: Path) -> dict[str, object]:
    return {
        "name": f"Run {source.name}",
        "im_script": {
            "content": "{{ lookup('ansible.builtin.file', im_script_source, rstrip=false) }}",
            "environment": "{{ im_script_environment }}",
            "hidden": "{{ im_script_hidden }}",
        },
        "vars": {"im_script_source": str(source)},
    }
