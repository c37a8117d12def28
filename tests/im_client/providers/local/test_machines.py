"""What only real machines show. Each test makes its own and removes them."""

import dataclasses
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from im_client.plan.model import Phase, Spec, SpecVolume
from im_client.providers.base import Instance, MachineRequest
from im_client.providers.images import ImageRequest
from im_client.providers.local.nspawn_provider import NspawnProvider
from im_client.providers.local.records import Manifest
from im_client.providers.local.settings import LocalSettings, default_state_dir
from infracore.errors import Unsupported
from infracore.ids import new_token
from infracore.process import Completed, run
from tests.contracts.harness import KeyPair, new_key_pair

pytestmark = pytest.mark.machines

Shell = Callable[..., Completed]


@pytest.fixture
def settings(tmp_path: Path) -> LocalSettings:
    return LocalSettings(
        kind="nspawn",
        state_dir=str(tmp_path / "state"),
        image_dir=str(default_state_dir() / "images"),
        bridge=f"imcm{os.getpid() % 100000}",
        stop_timeout_s=20.0,
    )


@pytest.fixture
def provider(settings: LocalSettings) -> Iterator[NspawnProvider]:
    opened = NspawnProvider(settings)
    opened.prepare(lambda _text: None)
    yield opened
    for machine in opened.list_machines():
        opened.delete(machine.provider_id)
    assert not Path("/sys/class/net", settings.bridge).exists()


@pytest.fixture
def keys() -> KeyPair:
    return new_key_pair()


def _request(keys: KeyPair, spec: Spec, name: str = "node") -> MachineRequest:
    return MachineRequest("machines", name, new_token(), spec, (keys.public,), keys.host_key)


@pytest.fixture
def shell(tmp_path: Path, keys: KeyPair) -> Shell:
    """Run a command on a machine by ssh, waiting until it answers."""
    identity = tmp_path / "id"
    identity.write_text(keys.private)
    identity.chmod(0o600)

    def on(machine: Instance, command: str) -> Completed:
        assert machine.access is not None
        known = tmp_path / "known_hosts"
        known.write_text(f"{machine.access.address} {machine.access.host_key}\n")
        options = ["-F", "/dev/null", "-i", identity, "-o", f"UserKnownHostsFile={known}"]
        options += ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=ERROR"]
        options += ["-o", "ConnectionAttempts=30", "-o", "ConnectTimeout=2"]
        return run(["ssh", *options, f"root@{machine.access.address}", command], timeout_s=120, check=False)

    return on


def _wait_for(provider: NspawnProvider, machine: Instance, phase: Phase) -> None:
    """Wait by the kernel: the lock that the supervisor gives back when it ends."""
    folder = provider._records.folder(machine.provider_id)
    run(["flock", "--timeout", "40", folder / "run.lock", "true"], timeout_s=60)
    assert provider.get(machine.provider_id).phase is phase


def test_a_machine_has_systemd_its_name_and_its_processors(
    provider: NspawnProvider, shell: Shell, keys: KeyPair
) -> None:
    machine = provider.create(_request(keys, Spec(num_cpus=1), "front"))
    told = shell(machine, "systemctl is-system-running --wait; hostname; nproc; cat /proc/1/comm")
    assert told.stdout.split() == ["running", "front", "1", "systemd"]


def test_a_program_that_takes_more_memory_than_the_machine_has_is_killed(
    provider: NspawnProvider, shell: Shell, keys: KeyPair
) -> None:
    take = "python3 -c 'bytearray(400 << 20)'; exit $?"
    machine = provider.create(_request(keys, Spec(mem_bytes=256 << 20)))
    assert shell(machine, take).status == 128 + signal.SIGKILL
    provider.resize(machine.provider_id, Spec(mem_bytes=768 << 20))
    assert shell(machine, take).status == 0


def test_a_volume_has_its_size_and_outlives_a_restart(provider: NspawnProvider, shell: Shell, keys: KeyPair) -> None:
    volume = SpecVolume("data", 64 << 20, "/srv/data")
    machine = provider.create(_request(keys, Spec(volumes=(volume,))))
    assert shell(machine, "touch /srv/data/kept /root/kept && sync").status == 0
    assert shell(machine, "head -c 80M /dev/zero > /srv/data/big").status != 0
    provider.stop(machine.provider_id)
    _wait_for(provider, machine, Phase.STOPPED)
    provider.start(machine.provider_id)
    assert shell(machine, "ls /srv/data/kept /root/kept").status == 0


def test_machines_reach_packages_and_each_other_by_address(
    settings: LocalSettings, keys: KeyPair, shell: Shell
) -> None:
    opened = NspawnProvider(settings)
    try:
        first, second = (opened.create(_request(keys, Spec(), name)) for name in ("a", "b"))
        assert shell(second, "true").status == 0
        greet = f"exec 3<>/dev/tcp/{second.private_address}/22; head -c 4 <&3"
        assert shell(first, f"bash -c '{greet}'").stdout == "SSH-"
        installed = shell(first, "DEBIAN_FRONTEND=noninteractive apt-get -qq install hello && hello")
        assert installed.stdout.endswith("Hello, world!\n"), installed.stderr
    finally:
        for machine in opened.list_machines():
            opened.delete(machine.provider_id)


def test_a_machine_whose_supervisor_is_killed_has_failed_and_can_be_started(
    provider: NspawnProvider, shell: Shell, keys: KeyPair
) -> None:
    machine = provider.create(_request(keys, Spec()))
    assert shell(machine, "true").status == 0
    folder = provider._records.folder(machine.provider_id)
    os.kill(int((folder / "run.lock").read_text()), signal.SIGKILL)
    _wait_for(provider, machine, Phase.FAILED)
    assert provider.get(machine.provider_id).fault
    provider.start(machine.provider_id)
    assert shell(machine, "true").status == 0


def test_after_a_reboot_of_the_computer_machines_are_stopped_and_start_with_disk_and_address(
    provider: NspawnProvider, settings: LocalSettings, shell: Shell, keys: KeyPair
) -> None:
    """The computer's reboot as the provider sees it: no process, no link, no group, another boot id."""
    machine = provider.create(_request(keys, Spec()))
    assert shell(machine, "touch /root/kept && sync").status == 0
    folder = provider._records.folder(machine.provider_id)
    manifest = msgspec.json.decode((folder / "machine.json").read_bytes(), type=Manifest)
    provider._kill(manifest)
    provider._bridge.detach(manifest.link)
    run(["ip", "link", "del", settings.bridge], timeout_s=20)
    provider._records.save(msgspec.structs.replace(manifest, boot="earlier"))
    again = NspawnProvider(settings)
    assert again.get(machine.provider_id).phase is Phase.STOPPED
    again.start(machine.provider_id)
    assert again.get(machine.provider_id).private_address == machine.private_address
    assert shell(machine, "ls /root/kept").status == 0


def test_a_machine_that_powers_itself_off_is_stopped(provider: NspawnProvider, shell: Shell, keys: KeyPair) -> None:
    machine = provider.create(_request(keys, Spec()))
    shell(machine, "systemctl poweroff")
    _wait_for(provider, machine, Phase.STOPPED)


def test_nothing_is_left_of_a_deleted_machine(provider: NspawnProvider, shell: Shell, keys: KeyPair) -> None:
    machine = provider.create(_request(keys, Spec(num_cpus=1, mem_bytes=256 << 20)))
    assert shell(machine, "true").status == 0
    folder = provider._records.folder(machine.provider_id)
    link = msgspec.json.decode((folder / "machine.json").read_bytes(), type=Manifest).link
    provider.delete(machine.provider_id)
    assert not folder.exists()
    assert not Path("/run/netns", link).exists()
    assert not Path("/sys/class/net", link).exists()
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{link}"))
    assert str(folder) not in run(["ps", "-eo", "args"], timeout_s=20).stdout
    assert str(folder) not in Path("/proc/mounts").read_text()


def test_a_create_killed_after_the_machine_runs_is_finished_without_touching_it(
    provider: NspawnProvider, shell: Shell, keys: KeyPair
) -> None:
    request = _request(keys, Spec())
    machine = provider.create(request)
    assert shell(machine, "touch /run/same-boot").status == 0
    folder = provider._records.folder(machine.provider_id)
    manifest = msgspec.json.decode((folder / "machine.json").read_bytes(), type=Manifest)
    provider._records.save(msgspec.structs.replace(manifest, made=False))
    assert provider.get(machine.provider_id).phase is Phase.PENDING
    assert provider.create(request).phase is Phase.RUNNING
    assert shell(machine, "ls /run/same-boot").status == 0


def test_a_create_killed_before_the_machine_ran_is_finished(
    provider: NspawnProvider, shell: Shell, keys: KeyPair
) -> None:
    request = _request(keys, Spec())
    machine = provider.create(request)
    folder = provider._records.folder(machine.provider_id)
    manifest = msgspec.json.decode((folder / "machine.json").read_bytes(), type=Manifest)
    provider._kill(manifest)
    provider._records.save(msgspec.structs.replace(manifest, made=False))
    assert provider.create(request).phase is Phase.RUNNING
    assert shell(machine, "true").status == 0


_INSTALL = r"""
set -e
echo tool >/usr/local/bin/tool; chown 1:2 /usr/local/bin/tool; chmod 2755 /usr/local/bin/tool
rm -r /etc/sudoers.d; mkdir /etc/sudoers.d; echo own >/etc/sudoers.d/own; rm /usr/bin/sum
cp /bin/true /usr/local/bin/capable
python3 -c 'import os
os.setxattr("/usr/local/bin/capable", "security.capability", bytes.fromhex("0100000200040000" + 24 * "0"))'
mkdir -p /etc/munge /var/log/app; chown 1:1 /var/log/app; echo line >/var/log/app.log
echo key >/etc/munge/munge.key; echo secret >/root/.ssh/id_ed25519; echo history >/root/.bash_history
cat /etc/machine-id
"""
_LOOK = r"""
stat -c '%a %u %g' /usr/local/bin/tool; ls /etc/sudoers.d; test -e /usr/bin/sum || echo gone
python3 -c 'import os; print(os.getxattr("/usr/local/bin/capable", "security.capability").hex())'
for f in /etc/munge/munge.key /root/.ssh/id_ed25519 /var/log/app.log /root/.bash_history; do ls $f 2>/dev/null; done
stat -c '%u' /var/log/app; hostname; cat /etc/machine-id
"""


def test_a_machine_starts_from_a_golden_image_with_what_was_installed_and_as_itself(
    provider: NspawnProvider, shell: Shell, keys: KeyPair
) -> None:
    first = provider.create(_request(keys, Spec(), "first"))
    made = shell(first, _INSTALL)
    assert made.status == 0, made.stderr
    provider.stop(first.provider_id)
    _wait_for(provider, first, Phase.STOPPED)
    saved = provider.save_image(ImageRequest("gold", first.provider_id, "machines", "first", "worker", 1.0))
    provider.delete(first.provider_id)
    request = _request(keys, Spec(golden_image=saved.id), "second")
    second = provider.create(dataclasses.replace(request, host_key=new_key_pair().host_key))
    *facts, name, identity = shell(second, _LOOK).stdout.split("\n")[:-1]
    assert facts == ["2755 1 2", "own", "gone", "0100000200040000" + 24 * "0", "1"]
    assert name == "second"
    assert len(identity) == 32
    assert identity != made.stdout.strip()
    assert provider.get(second.provider_id).spec["image"] == saved.system
    with pytest.raises(Unsupported, match="shall run"):
        provider.create(_request(keys, Spec(golden_image=saved.id, os_version="13"), "third"))
