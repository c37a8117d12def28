"""Values and sizes of machines in words."""

from im_client.plan.model import Spec
from im_client.topology.values import Value
from infracore.cli.tables import counted
from infracore.secrets import Secret
from infracore.units import format_bytes

__all__ = ["spec_text", "value_text"]


def value_text(value: Value) -> str:
    """Return a value of a topology as a person writes it: text bare, the rest as JSON."""
    if value is None:
        return ""
    if isinstance(value, str | Secret):
        return str(value)
    import json

    from im_client.cli.shapes import value_shape

    return json.dumps(value_shape(value), ensure_ascii=False)


def spec_text(spec: Spec) -> str:
    """Return the size and the system of a machine in a few words."""
    words = []
    if spec.instance_type:
        words.append(spec.instance_type)
    if spec.num_cpus:
        words.append(counted(spec.num_cpus, "CPU"))
    if spec.mem_bytes:
        words.append(f"{format_bytes(spec.mem_bytes)} memory")
    if spec.disk_bytes:
        words.append(f"{format_bytes(spec.disk_bytes)} disk")
    if spec.num_gpus:
        words.append(counted(spec.num_gpus, "GPU"))
    system = spec.image or " ".join(filter(None, (spec.os_distribution, spec.os_version)))
    if system:
        words.append(system)
    if spec.golden_image:
        words.append(f"from {spec.golden_image}")
    return ", ".join(words)
