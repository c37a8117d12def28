"""Names that a stranger's template may not give to a playbook of ours: inputs become variables of its plays.

A variable of a role, of Ansible or of the inventory would make Ansible read files of this computer, or run there what
is meant for a machine.
"""

import functools
from pathlib import Path
from typing import Any, Final

import yaml

from infracore.content import content_folder

__all__ = ["is_file_of_this_computer", "is_reserved"]

_WORDS: Final = ("ansible_", "molecule_")
_INVENTORY: Final = frozenset(
    {"im_nodes", "im_node", "im_group", "im_play", "inventory_hostname", "hostvars", "groups"}
)
_FILES: Final = frozenset({"k3s_bundle", "kube_repository_key", "kube_network_manifest", "kubeconfig_file"})
"""Inputs of our playbooks that name a file or folder on the computer that runs Ansible."""


def is_reserved(name: str) -> bool:
    """Return whether an input of this name would replace what is not the template's to say."""
    return name.startswith(_WORDS) or name in _INVENTORY or name in _of_roles(content_folder() / "playbooks" / "roles")


def is_file_of_this_computer(name: str) -> bool:
    """Return whether the value of an input is a path on the computer that runs Ansible."""
    return name in _FILES


@functools.cache
def _of_roles(folder: Path) -> frozenset[str]:
    """Return all variables of the roles in a folder."""
    found: set[str] = set()
    for role in folder.iterdir():
        for name in ("defaults", "vars"):
            path = role / name / "main.yml"
            if path.is_file():
                found |= (_read(path) or {}).keys()
        specs = role / "meta" / "argument_specs.yml"
        if specs.is_file():
            for spec in _read(specs)["argument_specs"].values():
                found |= (spec.get("options") or {}).keys()
    return frozenset(found)


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return content
