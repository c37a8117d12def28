"""Which free host takes a request, and why the others do not. Pure."""

from collections.abc import Collection, Sequence

from im_client.plan.model import Spec
from im_client.providers.hosts.host import Host
from infracore.units import format_bytes

__all__ = ["UNSUPPORTED", "choose", "refusal", "unsupported_fields"]

UNSUPPORTED = frozenset(
    {"volumes", "image", "instance_type", "gpu_vendor", "gpu_model", "disk_type", "preemptible", "availability_zone"}
)
"""Fields of `Spec` that need a machine to be made. Open ports and networks are the owner's matter."""
_NAMING_TAG = "host"
"""The tag by which a template names a host."""


def unsupported_fields(spec: Spec) -> tuple[str, ...]:
    """Return the fields that a request asks for and that no host that exists can be given."""
    plain = Spec()
    return tuple(sorted(name for name in UNSUPPORTED if getattr(spec, name) != getattr(plain, name)))


def choose(
    name: str, spec: Spec, hosts: Sequence[Host], taken: Collection[str], refused: dict[str, str]
) -> Host | None:
    """Return the host that fits best, None where none does; note in `refused` why each of the others does not.

    A host of the machine's own name comes first, then most equal tags, then a host of the machine's group, then one
    that belongs to no group, then the smallest; the order of the file decides what is left.
    """
    known_tags = {key for host in hosts for key in host.tags}
    fitting = []
    for place, host in enumerate(hosts):
        if host.name in refused:
            continue
        why = "it is reserved" if host.name in taken else host.fault or refusal(host, spec, known_tags)
        if why:
            refused[host.name] = why
        else:
            fitting.append((_rank(name, spec, host), place, host))
    return min(fitting, key=lambda found: found[:2])[2] if fitting else None


def refusal(host: Host, spec: Spec, known_tags: Collection[str] = ()) -> str:
    """Return why a host cannot be such a machine, "" where it can. What the file does not say is taken to fit."""
    if spec.num_cpus is not None and host.cpus is not None and host.cpus < spec.num_cpus:
        return f"it has {host.cpus} CPUs of {spec.num_cpus}"
    for what, has, wanted in (
        ("memory", host.mem_bytes, spec.mem_bytes),
        ("disk", host.disk_bytes, spec.disk_bytes),
    ):
        if has is not None and wanted is not None and has < wanted:
            return f"it has {format_bytes(has)} {what} of {format_bytes(wanted)}"
    if spec.num_gpus > host.gpus:
        return f"it has {host.gpus} GPUs of {spec.num_gpus}"
    for what, is_, wanted_text in (
        ("architecture", host.architecture, spec.architecture),
        ("distribution", host.distribution, spec.os_distribution),
        ("version", host.version, spec.os_version),
    ):
        if is_ is not None and wanted_text is not None and is_.lower() != wanted_text.lower():
            return f"its {what} is {is_}, not {wanted_text}"
    for key, value in spec.tags.items():
        if key == _NAMING_TAG and value != host.name:
            return f"the template names {value}"
        if key in known_tags and key != _NAMING_TAG and host.tags.get(key) != value:
            return f"its tag {key} is {host.tags.get(key, 'not set')}, not {value}"
    return ""


def _rank(name: str, spec: Spec, host: Host) -> tuple[bool, int, bool, bool, int, int]:
    """Return a key that is less for a better host."""
    mine = _label(name)
    in_group = any(mine == _label(group) or mine.startswith(_label(group) + "-") for group in host.groups)
    same_tags = sum(host.tags.get(key) == value for key, value in spec.tags.items())
    return (
        _label(host.name) != mine,
        -same_tags,
        not in_group,
        bool(host.groups),
        host.cpus or 0,
        host.mem_bytes or 0,
    )


def _label(name: str) -> str:
    return name.lower().replace("_", "-")
