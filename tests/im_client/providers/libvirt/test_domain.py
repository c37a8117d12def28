"""The XML of domains: written, read, changed."""

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from im_client.plan.model import Phase, Spec
from im_client.providers.libvirt.domain import Boot, Disk, Domain, domain_xml, phase_of, read_domain, resized
from im_client.providers.libvirt.marks import DELETED, MADE, MAKING, Card, Mark, uuid_of, volume_prefix
from im_client.providers.libvirt.settings import LibvirtSettings
from infracore.errors import CommandFailed, InvalidUsage

MARK = Mark(
    infrastructure="inf-1",
    name="web-1",
    token="0123abcd",
    state=MADE,
    user="debian",
    host_key="ssh-ed25519 AAAA",
    image='<odd> & "named"',
    base="imc.base.x.qcow2",
    stop_by=12.5,
    holds_secret=True,
    cards=(
        Card("52:54:00:00:00:01", "network", "net' & <more>", "10.0.0.5", is_public=True, lease="imc-0123abcd-0"),
        Card("52:54:00:00:00:02", "bridge", "br0"),
    ),
)
DISKS = (Disk("default", "imc.a.b.root.qcow2", "qcow2"), Disk("default", "imc.a.b.data-0.qcow2", "qcow2", "data-0"))


def _xml(mark: Mark = MARK, *, kvm: bool = False, boot: Boot | None = None, **settings: str) -> str:
    spec = Spec(num_cpus=2, mem_bytes=512 * 1024**2)
    return domain_xml(mark, spec, LibvirtSettings(**settings), kvm=kvm, disks=DISKS, console="/pool/console", boot=boot)


def _domain(mark: Mark = MARK, state: str = "running (booted)") -> Domain:
    found = read_domain(_xml(mark), state)
    assert found is not None
    return found


def test_what_was_written_is_read_again_however_odd_the_names() -> None:
    domain = _domain()
    assert domain.mark == MARK
    assert (domain.uuid, domain.num_cpus, domain.mem_bytes) == (uuid_of("0123abcd"), 2, 512 * 1024**2)
    assert (domain.state, domain.reason, domain.is_running) == ("running", "booted", True)


def test_a_name_is_text_and_never_markup() -> None:
    root = ET.fromstring(_xml())
    assert [card.get("network") for card in root.iterfind("devices/interface/source")] == ["net' & <more>", None]
    assert [card.get("bridge") for card in root.iterfind("devices/interface/source")] == [None, "br0"]
    assert len(root.findall("devices/disk")) == 2


@pytest.mark.parametrize("name", ["a\0b", "a\x1b[31m", "\ud800", "￾"])
def test_characters_that_xml_cannot_hold_are_refused(name: str) -> None:
    with pytest.raises(InvalidUsage, match="characters"):
        _xml(replace(MARK, image=name))


@pytest.mark.parametrize("word", ["", "..", "a.b", "a/b", "a b", "é", "x" * 65])
def test_what_cannot_stand_in_a_volumes_name_is_refused(word: str) -> None:
    for pair in ((word, "token"), ("inf", word)):
        with pytest.raises(InvalidUsage):
            volume_prefix(*pair)


def test_emulation_and_kvm_differ_in_type_and_cpu() -> None:
    emulated, real = ET.fromstring(_xml()), ET.fromstring(_xml(kvm=True))
    assert (emulated.get("type"), real.get("type")) == ("qemu", "kvm")
    modes = [root.find("cpu").get("mode") for root in (emulated, real)]  # type: ignore[union-attr]
    assert modes == ["maximum", "host-passthrough"]
    assert ET.fromstring(_xml(cpu="Skylake-Server")).findtext("cpu/model") == "Skylake-Server"


def test_kernel_and_firmware_stand_where_they_are_set() -> None:
    root = ET.fromstring(
        _xml(boot=Boot("/pool/kernel", "/pool/initrd", "root=LABEL=root"), firmware="efi", machine="q35")
    )
    system = root.find("os")
    assert system is not None
    assert (system.get("firmware"), system.find("type").get("machine")) == ("efi", "q35")  # type: ignore[union-attr]
    assert [system.findtext(tag) for tag in ("kernel", "initrd", "cmdline")] == [
        "/pool/kernel",
        "/pool/initrd",
        "root=LABEL=root",
    ]
    assert ET.fromstring(_xml()).find("os/kernel") is None


def test_another_mans_domain_is_none_of_ours() -> None:
    assert read_domain("<domain><name>imc-x</name><uuid>1</uuid></domain>", "running") is None
    with pytest.raises(CommandFailed):
        read_domain("<domain>", "running")


@pytest.mark.parametrize(
    ("state", "said", "phase"),
    [
        (MADE, "running (booted)", Phase.RUNNING),
        (MADE, "in shutdown (shutting down)", Phase.RUNNING),
        (MADE, "shut off (shutdown)", Phase.STOPPED),
        (MADE, "shut off (destroyed)", Phase.STOPPED),
        (MADE, "shut off (crashed)", Phase.FAILED),
        (MADE, "shut off (failed)", Phase.FAILED),
        (MADE, "crashed (panicked)", Phase.FAILED),
        (MADE, "paused (user)", Phase.STOPPED),
        (MADE, "paused (I/O error)", Phase.FAILED),
        (MADE, "", Phase.UNKNOWN),
        (MAKING, "shut off (unknown)", Phase.PENDING),
        (MAKING, "running (booted)", Phase.PENDING),
        (DELETED, "running (booted)", Phase.DELETING),
    ],
)
def test_the_phase_follows_from_the_mark_and_the_hosts_words(state: str, said: str, phase: Phase) -> None:
    found, fault = phase_of(_domain(replace(MARK, state=state), said))
    assert found is phase
    assert bool(fault) is (phase is Phase.FAILED)


def test_what_is_equal_is_not_resized_and_what_is_not_asked_stays() -> None:
    domain = _domain()
    assert resized(domain, domain.xml, Spec(num_cpus=2, mem_bytes=512 * 1024**2)) is None
    assert resized(domain, domain.xml, Spec()) is None
    changed = resized(domain, domain.xml, Spec(num_cpus=3))
    assert changed is not None
    again = read_domain(changed, "shut off (shutdown)")
    assert again is not None
    assert (again.num_cpus, again.mem_bytes, again.mark) == (3, 512 * 1024**2, MARK)
    larger = resized(domain, domain.xml, Spec(mem_bytes=1024**3))
    assert larger is not None
    assert [ET.fromstring(larger).findtext(tag) for tag in ("memory", "currentMemory")] == ["1048576", "1048576"]


def test_a_token_gives_always_the_same_domain() -> None:
    assert uuid_of("a") == uuid_of("a") != uuid_of("b")
