"""From an image to a configured machine on a libvirt host: a real one, emulated, as no KVM is needed."""

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from im_client.plan.model import Spec
from im_client.providers.local.mirror import choose_release, host_release, read_sources
from im_client.providers.local.outbound import host_proxy
from im_client.providers.local.qemu_image import ensure_disk
from im_client.providers.local.settings import LocalSettings, default_state_dir
from tests.e2e.conftest import SITE, Im
from tests.rigs.libvirt import Libvirt, libvirt
from tests.rigs.needs import need_programs

pytestmark = [pytest.mark.libvirt, pytest.mark.ansible, pytest.mark.long, pytest.mark.timeout(2400)]


class InsideIm(Im):
    """`im` where the machines' networks are."""

    def __init__(self, folder: Path, host: Libvirt) -> None:
        super().__init__(folder / "state")
        self.env |= {"PYTHONPATH": str(Path(__file__).parents[2])}
        self._host = host
        self._folder = folder

    def argv(self, *words: str) -> list[str]:
        there = ["env", f"--chdir={self._folder}", sys.executable, "-m", "im_client.cli.main"]
        return self._host.inside([*there, *words])


@pytest.fixture
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Libvirt]:
    with libvirt(tmp_path_factory.mktemp("lv")) as opened:
        yield opened


@pytest.fixture
def im_here(host: Libvirt, tmp_path: Path) -> InsideIm:
    """`im` with the disk image that the local provider makes for its own QEMU machines."""
    need_programs("mmdebstrap", "mke2fs")
    local = LocalSettings(kind="qemu", image_dir=str(default_state_dir() / "images"))
    here = host_release()
    release = choose_release(Spec(), local, here)
    image = ensure_disk(release, read_sources(release, here, local), local, host_proxy(), print)
    (tmp_path / "im.yaml").write_text(f"""
provider: libvirt
providers:
  libvirt:
    uri: "{host.uri}"
    images:
      debian-12:
        path: {image.disk}
        kernel: {image.kernel}
        initrd: {image.initrd}
        cmdline: root=LABEL=root rw console=ttyS0 net.ifnames=0 mitigations=off ds=nocloud
        user: root
timeouts: {{create_s: 900, reachable_s: 1500}}
ansible: {{connect_timeout_s: 300, roles_path: ["{SITE}/roles"]}}
""")
    return InsideIm(tmp_path, host)


def test_a_machine_comes_from_an_image_is_configured_and_leaves_nothing(im_here: InsideIm, host: Libvirt) -> None:
    im_here("deploy", str(SITE / "word.yaml"), "-y", "--name", "word", timeout=2000)
    assert im_here.machines("word")["head-1"]["phase"] == "configured"
    told = im_here("ssh", "word", "head-1", "--", "hostname; cat /data/word; findmnt -n -o FSTYPE /data").stdout
    assert told.split() == ["head-1", "heard", "ext4"]
    seeds = list(host.pool.glob("*.seed.img"))
    assert len(seeds) == 1
    assert stat.S_IMODE(os.stat(seeds[0]).st_mode) == 0o600
    assert b"PRIVATE KEY" not in seeds[0].read_bytes()
    im_here("destroy", "word", "-y")
    assert [path.name for path in host.pool.iterdir() if not path.name.startswith("imc.base.")] == []
    assert host.virsh("list", "--all", "--name").strip() == ""
    assert "<host " not in host.virsh("net-dumpxml", "default")
