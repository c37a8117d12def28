"""What `im doctor` says of a libvirt host."""

import secrets
from collections.abc import Sequence
from pathlib import Path

from im_client.providers.base import Finding, Severity
from im_client.providers.libvirt.domain import zero_xml
from im_client.providers.libvirt.networks import Networks
from im_client.providers.libvirt.settings import LibvirtSettings
from im_client.providers.libvirt.storage import Storage
from im_client.providers.libvirt.virsh import Virsh, xml_file
from infracore.errors import InfraError
from infracore.units import format_bytes

__all__ = ["SLOW", "checks", "kvm_problem"]

SLOW = "machines are emulated: a minute or more until ssh answers, and everything 10 to 20 times slower"


def kvm_problem(virsh: Virsh) -> str:
    """Say why the host's KVM does not work, "" where it does.

    A host may offer KVM that does not work (nested machines): only a machine that was started proves it. It has no
    disk, never runs a step, and ends with the connection. About half a second.
    """
    with xml_file(zero_xml(f"imc-probe-{secrets.token_hex(4)}")) as file:
        try:
            virsh("create", f"--file={file}", "--paused", "--autodestroy")
        except InfraError as error:
            said = error.message.partition(": error: ")[2] or error.message
            return f"KVM does not work on the host: {said[:200]}"
    return ""


def checks(virsh: Virsh, storage: Storage, networks: Networks, settings: LibvirtSettings) -> Sequence[Finding]:
    """Connect and look at pool, network, images and KVM."""
    try:
        virsh("uri")
    except InfraError as error:
        return [Finding("libvirt", Severity.ERROR, error.message, error.hint or "see docs/howto/libvirt.md")]
    found = [Finding("libvirt", Severity.OK, f"{virsh.uri} answers")]
    try:
        size, free = storage.room()
        found.append(Finding("pool", Severity.OK, f"{storage.pool}: {format_bytes(free)} of {format_bytes(size)} free"))
    except InfraError as error:
        remedy = f"virsh pool-define-as {storage.pool} dir --target FOLDER; virsh pool-start {storage.pool}"
        found.append(Finding("pool", Severity.ERROR, error.message, remedy))
    if settings.network != "user" and not settings.network.startswith("bridge:"):
        try:
            networks.look(settings.network)
            found.append(Finding("network", Severity.OK, settings.network))
        except InfraError as error:
            found.append(Finding("network", Severity.ERROR, error.message, error.hint or "set `network`"))
    found += [_image(name, image.path) for name, image in settings.images.items() if image.path]
    if not settings.images and not settings.image_pool:
        found.append(Finding("images", Severity.WARNING, "no image is set", "see docs/howto/libvirt.md"))
    if settings.accelerate != "emulation":
        problem = kvm_problem(virsh)
        severity = Severity.OK if not problem else Severity.WARNING
        text = f"{problem}: {SLOW}" if problem else "works"
        found.append(Finding("kvm", severity, text, "" if not problem else "load the module kvm on the host"))
    return found


def _image(name: str, path: str) -> Finding:
    if Path(path).is_file():
        return Finding(f"image {name}", Severity.OK, path)
    return Finding(f"image {name}", Severity.ERROR, f"there is no file {path}", "set its `path`")
