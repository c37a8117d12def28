"""What the contract does not ask: cards, disks, networks of our own, and what somebody else has left behind."""

import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from im_client.plan.model import Phase, Spec, SpecInterface, SpecVolume
from im_client.providers.base import Instance, MachineRequest
from im_client.providers.images import ImageRequest
from im_client.providers.libvirt.provider import LibvirtProvider
from im_client.providers.libvirt.settings import LibvirtSettings
from im_client.providers.registry import decode_settings
from infracore.clock import Clock, FakeClock
from infracore.errors import Conflict, InfraError, Misconfigured, NotFound, Unsupported
from infracore.ids import new_token
from tests.contracts.harness_libvirt import tiny_disk
from tests.rigs.libvirt import Libvirt, libvirt

pytestmark = [pytest.mark.libvirt, pytest.mark.xdist_group("machines")]
MIB = 1024**2


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Libvirt]:
    with libvirt(tmp_path_factory.mktemp("lv")) as opened:
        tiny_disk(opened.folder)
        yield opened


def _open(host: Libvirt, clock: Clock | None = None, **settings: Any) -> LibvirtProvider:
    image = {"path": str(host.folder / "tiny.raw"), "user": "admin"}
    known = {"uri": host.uri, "images": {"tiny": image}, "disk_bytes": 32 * MIB, "stop_timeout_s": 1, **settings}
    return LibvirtProvider(decode_settings("libvirt", known, LibvirtSettings), clock)


def _make(provider: LibvirtProvider, **spec: Any) -> Instance:
    return provider.create(MachineRequest("inf", "node", new_token(), Spec(mem_bytes=64 * MIB, **spec)))


def _left(host: Libvirt) -> list[str]:
    return sorted(path.name for path in host.pool.iterdir() if not path.name.startswith("imc.base."))


def test_cards_disks_and_a_fixed_address_are_as_asked_and_go_with_the_machine(host: Libvirt) -> None:
    provider = _open(host)
    machine = _make(
        provider,
        interfaces=(
            SpecInterface("pub", public=True, fixed_address="10.79.1.77"),
            SpecInterface("priv", provider_name="second"),
        ),
        volumes=(SpecVolume("a", 8 * MIB, mount_path="/data"),),
    )
    assert (machine.private_address, machine.public_address) == ("10.79.1.77", "10.79.1.77")
    assert machine.access is not None
    assert (machine.access.user, machine.access.become, machine.access.jump) == ("admin", True, None)
    xml = host.virsh("dumpxml", machine.provider_id)
    assert xml.count("<interface ") == 2
    assert "<serial>data-0</serial>" in xml
    assert "10.79.1.77" in host.virsh("net-dumpxml", "default")
    assert "<host " in host.virsh("net-dumpxml", "second")
    modes = {path.name.split(".", 3)[3]: stat.S_IMODE(path.stat().st_mode) for path in host.pool.glob("imc.inf.*")}
    assert set(modes) == {"root.qcow2", "data-0.qcow2", "seed.img", "console.log"}
    assert set(modes.values()) == {0o600}
    with pytest.raises(Conflict, match="existing dhcp host"):
        _make(provider, interfaces=(SpecInterface("pub", fixed_address="10.79.1.77"),))
    assert [one.provider_id for one in provider.list_machines()] == [machine.provider_id]
    provider.delete(machine.provider_id)
    assert _left(host) == []
    assert "<host " not in host.virsh("net-dumpxml", "default") + host.virsh("net-dumpxml", "second")


def test_what_is_not_there_is_said_and_leaves_nothing(host: Libvirt) -> None:
    cases: list[tuple[dict[str, Any], dict[str, Any], type[InfraError], str]] = [
        ({}, {"interfaces": (SpecInterface("a", provider_name="nope"),)}, NotFound, "no network 'nope'"),
        ({}, {"interfaces": (SpecInterface("a", fixed_address="10.9.9.9"),)}, Unsupported, "10.9.9.9 is not in"),
        ({}, {"os_distribution": "plan9"}, NotFound, "no image 'plan9'"),
        ({}, {"golden_image": "nope"}, NotFound, "no golden image 'nope'"),
        ({}, {"volumes": (SpecVolume("a", MIB, volume_id="x"),)}, Unsupported, "volumes"),
        ({}, {"num_gpus": 1}, Unsupported, "num_gpus"),
        ({"pool": "nope"}, {}, NotFound, "nope"),
        ({"uri": "qemu+unix:///system?socket=/nowhere"}, {}, Misconfigured, "failed to connect"),
    ]
    for settings, spec, kind, words in cases:
        with pytest.raises(kind, match=words):
            _make(_open(host, **settings), **spec)
    assert _open(host).list_machines() == []
    assert _left(host) == []


def test_a_private_network_is_made_shared_and_released(host: Libvirt) -> None:
    provider = _open(host, make_networks="nat")
    cards = (SpecInterface("pub", public=True), SpecInterface("priv"))
    first, second = _make(provider, interfaces=cards), _make(provider, interfaces=cards)
    made = [thing for thing in provider.things("inf") if thing.kind == "network"]
    assert len(made) == 1
    assert made[0].used_by in {first.provider_id, second.provider_id}
    assert host.virsh("net-dumpxml", made[0].name).count("<host ") == 2
    assert "<forward mode='nat'>" in host.virsh("net-dumpxml", made[0].name)
    assert list(provider.things("other")) == []
    with pytest.raises(Conflict, match="used by"):
        provider.remove_thing(made[0])
    for machine in (first, second):
        provider.delete(machine.provider_id)
    assert provider.release("inf") == []
    assert made[0].name not in host.virsh("net-list", "--all", "--name")


def test_what_is_left_of_a_domain_that_somebody_removed_is_found_and_removed(host: Libvirt) -> None:
    provider = _open(host)
    machine = _make(provider)
    host.virsh("destroy", machine.provider_id)
    host.virsh("undefine", machine.provider_id)
    things = provider.things()
    assert sorted(thing.kind for thing in things) == ["DHCP reservation", "volume", "volume", "volume"]
    assert {(thing.token, thing.infrastructure) for thing in things} == {(machine.token, "inf")}
    for thing in (things[0], things[-1]):
        provider.remove_thing(thing)
        provider.remove_thing(thing)
    assert provider.release("inf") == []
    assert list(provider.things()) == []
    assert _left(host) == []


def test_a_stopped_machine_gets_other_cpus_and_memory(host: Libvirt) -> None:
    provider = _open(host)
    machine = _make(provider)
    provider.stop(machine.provider_id)
    while provider.get(machine.provider_id).phase is not Phase.STOPPED:  # the time limit is the test's
        pass
    provider.resize(machine.provider_id, Spec(num_cpus=2, mem_bytes=96 * MIB))
    provider.start(machine.provider_id)
    again = provider.get(machine.provider_id)
    assert again.phase is Phase.RUNNING
    assert (again.spec["num_cpus"], again.spec["mem_bytes"]) == (2, 96 * MIB)
    assert again.private_address == machine.private_address
    provider.delete(machine.provider_id)


@pytest.mark.parametrize("block", [1024, 4096])
def test_what_is_secret_is_in_no_byte_of_a_golden_image(host: Libvirt, tmp_path: Path, block: int) -> None:
    provider = _open(host, images={"tiny": {"path": str(tiny_disk(tmp_path, block)), "user": "admin"}})
    machine = _make(provider)
    provider.stop(machine.provider_id)
    while provider.get(machine.provider_id).phase is not Phase.STOPPED:
        pass
    saved = provider.save_image(ImageRequest("kept", machine.provider_id, "inf", "node", "workers", 1.0))
    secret = b"a secret of this machine"
    assert all(secret in disk.read_bytes() for disk in host.pool.glob("imc.base.tiny-*.raw"))
    assert (saved.removed, saved.system) == (1, "tiny")
    kept = host.pool / "imc.golden.kept.qcow2"
    assert secret not in kept.read_bytes()
    assert provider.check_image("kept") == ""
    with kept.open("r+b") as file:
        file.seek(300_000)
        file.write(b"another")
    assert "changed" in provider.check_image("kept")
    provider.delete_image("kept")
    provider.delete(machine.provider_id)
    assert _left(host) == []


def test_a_machine_that_does_not_shut_down_is_powered_off_in_time_and_started(host: Libvirt) -> None:
    clock = FakeClock()
    provider = _open(host, clock, stop_timeout_s=5)
    machine = _make(provider)
    provider.stop(machine.provider_id)
    begun = clock.monotonic()
    provider.start(machine.provider_id)
    assert clock.monotonic() - begun > 5
    assert provider.get(machine.provider_id).phase is Phase.RUNNING
    provider.delete(machine.provider_id)


def test_qemus_own_network_needs_none_of_libvirt(host: Libvirt) -> None:
    provider = _open(host, network="user")
    first, second = _make(provider), _make(provider)
    ports = [machine.access.port for machine in (first, second) if machine.access is not None]
    assert len(set(ports)) == 2
    assert {machine.private_address for machine in (first, second)} == {"127.0.0.1"}
    listening = subprocess.run(host.inside(["ss", "-Htln"]), capture_output=True, text=True, check=True).stdout
    assert all(f"127.0.0.1:{port} " in listening for port in ports)
    for machine in (first, second):
        provider.delete(machine.provider_id)


def test_the_check_finds_all_well_but_kvm_and_names_what_is_missing(host: Libvirt, tmp_path: Path) -> None:
    findings = {finding.check: finding for finding in _open(host).check()}
    assert [findings[name].severity for name in ("libvirt", "pool", "network", "image tiny")] == ["ok"] * 4
    image = {"path": str(tmp_path / "none.qcow2")}
    wrong = {f.check: f for f in _open(host, pool="nope", network="nix", images={"a": image}).check()}
    assert [wrong[name].severity for name in ("pool", "network", "image a")] == ["error"] * 3
    assert all(finding.remedy for finding in wrong.values() if finding.severity == "error")


@pytest.mark.parametrize("content", [b"", b"no image"], ids=["empty", "words"])
def test_an_image_that_is_none_or_stands_on_another_file_is_refused(
    host: Libvirt, tmp_path: Path, content: bytes
) -> None:
    layered = tmp_path / "layered.qcow2"
    below = tmp_path / "secret.raw"
    below.write_bytes(b"x" * MIB)
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(below), "-F", "raw", str(layered)]
    subprocess.run(argv, check=True)
    with pytest.raises(Misconfigured, match="stands on another file"):
        _make(_open(host, images={"layered": {"path": str(layered)}}))
    wrong = tmp_path / "wrong.raw"
    wrong.write_bytes(content)
    with pytest.raises(Misconfigured, match="SHA-256"):
        _make(_open(host, images={"wrong": {"path": str(wrong), "sha256": "0" * 64}}))
    assert _left(host) == []
