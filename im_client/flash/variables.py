"""Some variables of the hosts of an Ansible inventory, with templates and encrypted values resolved by Ansible."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infracore.errors import CommandFailed, InfraError, Misconfigured, Several, Unauthorised
from infracore.process import run

__all__ = ["HostVariables", "parse_answers", "parse_listing", "read_variables"]

_ENVIRONMENT: Final = {
    "ANSIBLE_STDOUT_CALLBACK": "minimal",
    "ANSIBLE_LOAD_CALLBACK_PLUGINS": "False",
    "ANSIBLE_NOCOLOR": "True",
    "ANSIBLE_FORCE_COLOR": "False",
    "ANSIBLE_DEPRECATION_WARNINGS": "False",
    "ANSIBLE_LOCALHOST_WARNING": "False",
    "LC_ALL": "C.UTF-8",
}
_ANSWER: Final = re.compile(r"^(?P<host>\S+) \| (?P<state>[A-Z]+!?) => (?=\{)", re.MULTILINE)
"""How Ansible's `minimal` callback begins what it says of a host."""


@dataclass(frozen=True, slots=True)
class HostVariables:
    """A host, those of the wanted variables that it has, and its groups."""

    name: str
    variables: Mapping[str, Any]
    groups: tuple[str, ...]


def read_variables(
    inventory: Path, wanted: Sequence[str], *, program: Path, timeout_s: float
) -> tuple[HostVariables, ...]:
    """Return every host of an inventory, in its order. `program` is `ansible-inventory`; `ansible` is beside it.

    Raises:
        Misconfigured: Ansible cannot read it, or a template in it. Unauthorised: there is no password to open it.
    """
    argv = (program, "--inventory", inventory, "--list")
    hosts = parse_listing(_run(argv, inventory, timeout_s), wanted)
    again: dict[tuple[str, ...], list[str]] = {}
    for host in hosts:
        open_ones = tuple(name for name in wanted if _is_open(host.variables.get(name)))
        if open_ones:
            again.setdefault(open_ones, []).append(host.name)
    resolved: dict[str, Mapping[str, Any]] = {}
    for names, members in again.items():
        resolved |= _resolve(inventory, names, members, program.with_name("ansible"), timeout_s)
    return tuple(HostVariables(h.name, {**h.variables, **resolved.get(h.name, {})}, h.groups) for h in hosts)


def parse_listing(text: str, wanted: Sequence[str]) -> tuple[HostVariables, ...]:
    """Read what `ansible-inventory --list` prints.

    Raises:
        Misconfigured: it is something else.
    """
    try:
        listing = json.loads(text)
        hostvars = listing.get("_meta", {}).get("hostvars", {})
        groups = {name: group for name, group in listing.items() if name != "_meta"}
        order = list(dict.fromkeys(host for group in groups.values() for host in group.get("hosts", ())))
    except (ValueError, AttributeError) as error:
        raise Misconfigured("ansible-inventory printed something that is no inventory", "run: im doctor") from error
    return tuple(
        HostVariables(
            name,
            {key: _plain(value) for key, value in hostvars.get(name, {}).items() if key in wanted},
            tuple(_groups_of(name, groups)),
        )
        for name in order
    )


def parse_answers(text: str) -> Iterator[tuple[str, bool, Mapping[str, Any]]]:
    """Read what Ansible's `minimal` callback prints: host, whether it went well, and the result."""
    decoder = json.JSONDecoder()
    at = 0
    while found := _ANSWER.search(text, at):
        result, at = decoder.raw_decode(text, found.end())
        yield found["host"], found["state"] == "SUCCESS", result


def _resolve(
    inventory: Path, names: Iterable[str], hosts: Sequence[str], program: Path, timeout_s: float
) -> dict[str, Mapping[str, Any]]:
    """Let Ansible resolve variables that all of these hosts have. Nothing runs on the hosts."""
    values = ", ".join(f"{name!r}: {name}" for name in names)
    argv = (
        program,
        "--inventory",
        inventory,
        "--module-name",
        "ansible.builtin.debug",
        "--args",
        json.dumps({"msg": f"{{{{ {{{values}}} | to_json }}}}"}),
        ":".join(hosts),
    )
    resolved: dict[str, Mapping[str, Any]] = {}
    wrong: list[InfraError] = []
    for host, is_well, result in parse_answers(_run(argv, inventory, timeout_s, check=False)):
        message = result.get("msg", "")
        if is_well:  # ansible-core before 2.19 turns text that is JSON into what it says
            resolved[host] = json.loads(message) if isinstance(message, str) else message
        else:
            wrong.append(_refused(f"{inventory}: {host}: {str(message).strip()}"))
    if wrong:
        raise wrong[0] if len(wrong) == 1 else Several(wrong)
    missing = [host for host in hosts if host not in resolved]
    if missing:
        raise Misconfigured(f"{inventory}: Ansible said nothing of {', '.join(missing)}", "run: im doctor")
    return resolved


def _run(argv: Sequence[str | Path], inventory: Path, timeout_s: float, *, check: bool = True) -> str:
    try:
        done = run(argv, timeout_s=timeout_s, env=_ENVIRONMENT, check=check)
    except CommandFailed as error:
        raise _refused(f"Ansible cannot read {inventory}: {error.stderr.strip() or error.message}") from error
    if not done.stdout.strip():
        raise _refused(f"Ansible cannot read {inventory}: {done.stderr.strip()}")
    return done.stdout


def _refused(said: str) -> InfraError:
    if "vault" in said.lower():
        return Unauthorised(said, "set ANSIBLE_VAULT_PASSWORD_FILE to the file with the password of the vault")
    return Misconfigured(said, "ansible-inventory --list shows the inventory as Ansible reads it")


def _groups_of(host: str, groups: Mapping[str, Any]) -> Iterator[str]:
    """Yield the groups that a host is in, directly or through children; not `all` and `ungrouped`."""
    inside = {name for name, group in groups.items() if host in group.get("hosts", ())}
    grew = True
    while grew:
        above = {name for name, group in groups.items() if inside & set(group.get("children", ()))}
        grew = not above <= inside
        inside |= above
    return (name for name in groups if name in inside and name not in {"all", "ungrouped"})


def _plain(value: Any) -> Any:
    """Return a value without the mark of text that is never a template (`!unsafe`)."""
    if isinstance(value, dict):
        return (
            value["__ansible_unsafe"]
            if set(value) == {"__ansible_unsafe"}
            else {k: _plain(v) for k, v in value.items()}
        )
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _is_open(value: Any) -> bool:
    """Return whether there is a template in a value, or something encrypted."""
    if isinstance(value, dict):
        return "__ansible_vault" in value or any(_is_open(item) for item in value.values())
    if isinstance(value, list):
        return any(_is_open(item) for item in value)
    return isinstance(value, str) and ("{{" in value or "{%" in value)
