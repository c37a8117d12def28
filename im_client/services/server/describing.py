"""An infrastructure and its machines as RADL, which clients of the original read."""

from im_client.services.server.house import House
from im_client.services.server.views import Vm
from im_client.state.store import InfrastructureRecord
from infracore.secrets import MASK

__all__ = ["radl_of", "radl_of_vm", "system_of_vm"]


def radl_of(house: House, infra: str) -> str:
    """Return what is wanted of an infrastructure as RADL."""
    record = house.ctx.store.infrastructure(infra)
    groups: dict[str, int] = {}
    for node in house.ctx.store.nodes(infra):
        groups[node.group] = groups.get(node.group, 0) + 1
    lines = [f"description {record.name} (", f"name = {_quoted(record.name)}", ")"]
    for group, count in groups.items():
        lines += [f"system {group} ()", f"deploy {group} {count}"]
    return "\n".join(lines) + "\n"


def system_of_vm(record: InfrastructureRecord, vm: Vm, *, reveal: bool) -> dict[str, str | int | float]:
    """Return the features of a VM. Keys are shown with `reveal` only."""
    node = vm.node
    features: dict[str, str | int | float] = {"instance_name": vm.name, "state": vm.state}
    if node is None:
        return features
    spec = node.spec
    features["provider.type"] = node.provider
    if node.provider_id:
        features["instance_id"] = node.provider_id
    if spec.num_cpus:
        features["cpu.count"] = spec.num_cpus
    if spec.mem_bytes:
        features["memory.size"] = spec.mem_bytes
    if spec.disk_bytes:
        features["disk.0.size"] = spec.disk_bytes
    if spec.image:
        features["disk.0.image.url"] = spec.image
    if spec.os_type:
        features["disk.0.os.name"] = spec.os_type
    if spec.os_distribution:
        features["disk.0.os.flavour"] = spec.os_distribution
    if spec.os_version:
        features["disk.0.os.version"] = spec.os_version
    features["net_interface.0.dns_name"] = vm.name
    addresses = [address for address in (node.private_address, node.public_address) if address]
    for place, address in enumerate(addresses):
        features[f"net_interface.{place}.ip"] = address
    features["disk.0.os.credentials.username"] = node.user
    features["disk.0.os.credentials.private_key"] = record.ssh_private_key.reveal() if reveal else MASK
    return features


def radl_of_vm(record: InfrastructureRecord, vm: Vm, *, reveal: bool) -> str:
    """Return a VM as RADL text."""
    group = vm.node.group if vm.node is not None else vm.name.rpartition("-")[0]
    lines = [f"{key} = {_value(value)}" for key, value in system_of_vm(record, vm, reveal=reveal).items()]
    return f"system {group} (\n" + " and\n".join(lines) + "\n)\n"


def _value(value: str | float) -> str:
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
