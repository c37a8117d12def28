"""The file of hosts: read, checked, and each host as a value with its access."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from im_client.inventory.build import Entry
from im_client.inventory.read import read_ini, read_yaml
from im_client.providers.hosts.host import Host
from im_client.remote.access import Access
from im_client.remote.hostkeys import find_known_host, public_of
from infracore.errors import InfraError, Misconfigured
from infracore.secrets import Secret
from infracore.units import size_bytes

__all__ = ["read_hosts"]

_EXAMPLE = "see inventories/existing/hosts.yaml"


class _Jump(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    address: str
    port: int = 22
    user: str = "root"
    key_file: str | None = None
    host_key: str | None = None


class _Defaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    port: int = 22
    user: str = "root"
    key_file: str | None = None
    password: str | None = None
    become: bool = False
    become_password: str | None = None
    python: str = "/usr/bin/python3"
    known_hosts: str = "~/.ssh/known_hosts"
    jump: _Jump | None = None
    groups: tuple[str, ...] = ()
    tags: dict[str, str] = {}
    cpus: int | None = None
    mem: str | None = None
    disk: str | None = None
    gpus: int = 0
    architecture: str | None = None
    distribution: str | None = None
    version: str | None = None


class _Host(_Defaults, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: str
    address: str = ""
    host_key: str | None = None
    private_address: str | None = None
    public_address: str | None = None


def read_hosts(path: Path) -> tuple[Host, ...]:
    """Read a file of hosts.

    A host whose SSH host key is not known is returned with a `fault`: the others can be used.

    Raises:
        Misconfigured: the file is missing or wrong, or a name stands twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Misconfigured(f"cannot read the hosts file {path}: {error.strerror}", _EXAMPLE) from error
    try:
        rows = _rows(text)
        hosts = tuple(_host(row, path.parent) for row in rows)
    except (msgspec.ValidationError, ValueError) as error:
        raise Misconfigured(f"the hosts file {path} is wrong: {error}", _EXAMPLE) from error
    except InfraError as error:
        raise Misconfigured(f"the hosts file {path}: {error.message}", error.hint or _EXAMPLE) from error
    names = [host.name for host in hosts]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Misconfigured(f"the hosts file {path} has the name {twice[0]} twice")
    return hosts


def _rows(text: str) -> list[_Host]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        document = None
    if isinstance(document, dict) and isinstance(document.get("hosts"), list):
        unknown = document.keys() - {"defaults", "hosts"}
        if unknown:
            raise ValueError(f"the unknown key {sorted(map(str, unknown))[0]!r}; known: defaults, hosts")
        defaults = document.get("defaults") or {}
        msgspec.convert(defaults, _Defaults, strict=False)
        return [_convert(defaults, row) for row in document["hosts"]]
    entries = read_yaml(document) if isinstance(document, dict) else read_ini(text)
    return [_from_inventory(entry) for entry in entries]


def _convert(defaults: Mapping[str, Any], row: object) -> _Host:
    if not isinstance(row, dict):
        raise Misconfigured(f"a host is a mapping with name and address, not {row!r}")
    merged = {**defaults, **row, "tags": {**(defaults.get("tags") or {}), **(row.get("tags") or {})}}
    try:
        return msgspec.convert(merged, _Host, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"host {row.get('name', '?')}: {error}") from error


_REFUSED = ("ansible_ssh_common_args", "ansible_ssh_extra_args", "ansible_ssh_args")
_NAMES = {
    "ansible_host": "address",
    "ansible_port": "port",
    "ansible_user": "user",
    "ansible_ssh_private_key_file": "key_file",
    "ansible_private_key_file": "key_file",
    "ansible_password": "password",
    "ansible_ssh_pass": "password",
    "ansible_become": "become",
    "ansible_become_password": "become_password",
    "ansible_python_interpreter": "python",
    "im_host_key": "host_key",
    "im_known_hosts": "known_hosts",
    "im_cpus": "cpus",
    "im_mem": "mem",
    "im_disk": "disk",
}


def _from_inventory(entry: Entry) -> _Host:
    for name in _REFUSED:
        if name in entry.variables:
            raise Misconfigured(
                f"{entry.name}: {name} is not understood",
                f"options of ssh (a jump host) stand in a hosts file: {_EXAMPLE}",
            )
    connection = entry.variables.get("ansible_connection", "ssh")
    if connection not in ("ssh", "smart", "paramiko"):
        raise Misconfigured(f"{entry.name}: ansible_connection {connection} is not ssh")
    row = {_NAMES[name]: value for name, value in entry.variables.items() if name in _NAMES}
    if any(isinstance(value, str) and "{{" in value for value in row.values()):
        raise Misconfigured(f"{entry.name}: a template in a connection variable is not understood")
    return _convert({}, {"name": entry.name, "address": entry.name, "groups": list(entry.groups), **row})


def _host(row: _Host, folder: Path) -> Host:
    address = row.address or row.name
    access = Access(
        address=address,
        user=row.user,
        port=row.port,
        private_key_file=_path(row.key_file, folder),
        password=Secret(row.password) if row.password else None,
        become=row.become,
        become_password=Secret(row.become_password) if row.become_password else None,
        python=row.python,
    )
    fault = ""
    known_hosts = _path(row.known_hosts, folder) or ""
    try:
        host_key = _host_key(row.host_key, known_hosts, address, row.port)
        jump = _jump(row.jump, known_hosts, folder) if row.jump is not None else None
        access = dataclasses.replace(access, host_key=host_key, jump=jump)
    except Misconfigured as error:
        fault = f"{error.message}: {error.hint}"
    return Host(
        name=row.name,
        access=access,
        groups=row.groups,
        tags=row.tags,
        cpus=row.cpus,
        mem_bytes=size_bytes(row.mem) if row.mem else None,
        disk_bytes=size_bytes(row.disk) if row.disk else None,
        gpus=row.gpus,
        architecture=row.architecture,
        distribution=row.distribution,
        version=row.version,
        private_address=row.private_address,
        public_address=row.public_address,
        fault=fault,
    )


def _jump(row: _Jump, known_hosts: str, folder: Path) -> Access:
    return Access(
        address=row.address,
        user=row.user,
        port=row.port,
        private_key_file=_path(row.key_file, folder),
        host_key=_host_key(row.host_key, known_hosts, row.address, row.port),
    )


def _host_key(given: str | None, known_hosts: str, address: str, port: int) -> str:
    if given:
        return public_of(given)
    try:
        text = Path(known_hosts).read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = find_known_host(text, address, port)
    if found is None:
        raise Misconfigured(
            f"the SSH host key of {address} (port {port}) is not known",
            f"log in once by ssh and compare the fingerprint, so that it comes into {known_hosts}, or give host_key",
        )
    return found


def _path(text: str | None, folder: Path) -> str | None:
    """Return a path of the file as an absolute one; relative ones are beside the hosts file."""
    return str(folder.absolute() / Path(text).expanduser()) if text else None
