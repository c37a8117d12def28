import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from im_client.plan.model import Spec, SpecVolume
from im_client.providers.base import MachineRequest, Severity
from im_client.providers.existing import ExistingProvider, open_provider
from im_client.providers.existing.hosts import read_hosts
from im_client.providers.existing.settings import ExistingSettings
from im_client.providers.hosts.choose import choose, refusal, unsupported_fields
from im_client.providers.hosts.host import Host
from im_client.remote.access import Access
from im_client.remote.hostkeys import new_host_key, new_key_pair
from infracore.errors import Misconfigured, NoCapacity, Unsupported
from tests.im_client.remote.loopback import Loopback, free_port, serve

KEY = new_host_key().public
ROOT = Path(__file__).parents[3]


def _host(name: str, **facts: object) -> Host:
    return Host(name, Access("10.0.0.1", host_key=KEY), **facts)  # type: ignore[arg-type]


def _chosen(name: str, hosts: list[Host], spec: Spec | None = None, taken: tuple[str, ...] = ()) -> str | None:
    host = choose(name, spec or Spec(), hosts, taken, {})
    return host.name if host else None


@pytest.mark.parametrize(
    ("host", "spec", "why"),
    [
        (_host("a", cpus=2), Spec(num_cpus=4), "2 CPUs of 4"),
        (_host("a", mem_bytes=2**30), Spec(mem_bytes=2**31), "1 GiB memory of 2 GiB"),
        (_host("a", disk_bytes=2**30), Spec(disk_bytes=2**31), "disk"),
        (_host("a"), Spec(num_gpus=1), "0 GPUs of 1"),
        (_host("a", architecture="arm64"), Spec(architecture="x86_64"), "architecture is arm64"),
        (_host("a", distribution="debian"), Spec(os_distribution="Ubuntu"), "distribution is debian"),
        (_host("a", version="12"), Spec(os_version="13"), "version is 12"),
        (_host("a"), Spec(tags={"host": "b"}), "names b"),
        (_host("a", tags={"rack": "x"}), Spec(tags={"rack": "y"}), "tag rack is x, not y"),
        (_host("a"), Spec(num_cpus=64, mem_bytes=2**40), ""),
        (_host("a", cpus=4, mem_bytes=2**32), Spec(num_cpus=4, mem_bytes=2**32), ""),
        (_host("a", distribution="Debian"), Spec(os_distribution="debian"), ""),
        (_host("a"), Spec(tags={"colour": "blue"}), ""),
    ],
)
def test_a_host_is_refused_for_what_it_is_known_to_lack(host: Host, spec: Spec, why: str) -> None:
    said = refusal(host, spec, {"rack"})
    assert (why in said) if why else said == ""


def test_a_host_of_the_machine_s_name_then_of_its_tags_then_of_its_group_is_taken() -> None:
    other, plain = _host("other", groups=("front",)), _host("plain", cpus=8)
    tagged, mine = _host("tagged", tags={"rack": "a"}, groups=("front",)), _host("wn-0")
    grouped = _host("grouped", groups=("wn",))
    spec = Spec(tags={"rack": "a"})
    assert _chosen("wn-0", [other, plain, tagged, mine, grouped]) == "wn-0"
    assert _chosen("wn-0", [other, plain, tagged, grouped], spec) == "tagged"
    assert _chosen("wn-0", [other, plain, grouped]) == "grouped"
    assert _chosen("wn-0", [other, plain]) == "plain"
    assert _chosen("wn-0", [other]) == "other"


def test_an_underscore_of_a_node_s_name_is_a_hyphen_of_the_machine_s() -> None:
    assert _chosen("lrms-wn-0", [_host("a"), _host("b", groups=("lrms_wn",))]) == "b"


def test_the_smallest_host_that_fits_is_taken_and_the_file_s_order_decides_the_rest() -> None:
    hosts = [_host("big", cpus=32), _host("small", cpus=4), _host("small-too", cpus=4), _host("tiny", cpus=1)]
    assert _chosen("x-0", hosts, Spec(num_cpus=2)) == "small"


def test_every_refusal_has_its_reason() -> None:
    refused: dict[str, str] = {"gone": "it does not answer"}
    hosts = [_host("gone"), _host("taken"), _host("small", cpus=1), _host("strange", fault="host key is not known")]
    assert choose("x-0", Spec(num_cpus=2), hosts, {"taken"}, refused) is None
    assert refused == {
        "gone": "it does not answer",
        "taken": "it is reserved",
        "small": "it has 1 CPUs of 2",
        "strange": "host key is not known",
    }


def test_what_needs_a_machine_to_be_made_is_not_supported() -> None:
    assert unsupported_fields(Spec(num_cpus=2, ports=("tcp/22",), tags={"a": "b"})) == ()
    assert unsupported_fields(Spec(volumes=(SpecVolume("d", 1),), image="x")) == ("image", "volumes")


def _file(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "hosts.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_defaults_hold_for_hosts_that_say_nothing_else(tmp_path: Path) -> None:
    text = f"""
defaults: {{user: pi, key_file: keys/id, become: true, tags: {{site: here}}}}
hosts:
  - {{name: a, address: 10.0.0.1, host_key: {KEY} comment, mem: 8 GiB, tags: {{rack: x}}}}
  - {{name: b, user: root, port: 2222, host_key: {KEY}, jump: {{address: 10.0.0.9, host_key: {KEY}}}}}
"""
    a, b = read_hosts(_file(tmp_path, text))
    assert a.access == Access(
        "10.0.0.1", user="pi", private_key_file=str(tmp_path / "keys" / "id"), host_key=KEY, become=True
    )
    assert (a.mem_bytes, a.tags) == (8 * 2**30, {"site": "here", "rack": "x"})
    assert (b.access.address, b.access.user, b.access.port) == ("b", "root", 2222)
    assert b.access.jump == Access("10.0.0.9", host_key=KEY)


def test_host_keys_come_from_a_known_hosts_file_and_a_host_without_one_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "known").write_text(f"[10.0.0.1]:2222 {KEY}\n", encoding="utf-8")
    text = "defaults: {known_hosts: known}\nhosts:\n"
    text += "  - {name: a, address: 10.0.0.1, port: 2222}\n  - {name: b, address: 10.0.0.2}\n"
    a, b = read_hosts(_file(tmp_path, text))
    assert (a.access.host_key, a.fault) == (KEY, "")
    assert "host key of 10.0.0.2" in b.fault


@pytest.mark.parametrize("form", ["yaml", "ini"])
def test_an_ansible_inventory_serves(tmp_path: Path, form: str) -> None:
    if form == "yaml":
        row = {"ansible_host": "10.0.0.1", "ansible_user": "pi", "im_host_key": KEY, "im_mem": "8 GiB", "x": "y"}
        text = yaml.safe_dump({"all": {"children": {"wn": {"hosts": {"a": row}}}}})
    else:
        text = f'[wn]\na ansible_host=10.0.0.1 ansible_user=pi im_host_key="{KEY}" im_mem="8 GiB" x=y\n'
    (host,) = read_hosts(_file(tmp_path, text))
    assert host.access == Access("10.0.0.1", user="pi", host_key=KEY)
    assert (host.groups, host.mem_bytes) == (("wn",), 8 * 2**30)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hosts: [{name: a, adress: x}]", "host a.*adress"),
        ("hosts: [{address: x}]", "name"),
        ("hosts: [a]", "mapping"),
        ("hosts: []\nmore: 1", "more"),
        ("hosts: [{name: a, mem: much}]", "much"),
        ("hosts: [{name: a}, {name: a}]", "twice"),
        ("hosts: [{name: a, host_key: nothing}]", "public key"),
        ("all: {hosts: {a: {ansible_ssh_common_args: -J x}}}", "ansible_ssh_common_args"),
        ("all: {hosts: {a: {ansible_connection: winrm}}}", "winrm"),
        ("all: {hosts: {a: {ansible_host: '{{ x }}'}}}", "template"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(Misconfigured, match=says):
        read_hosts(_file(tmp_path, text))


def test_the_example_can_be_read() -> None:
    hosts = read_hosts(ROOT / "inventories" / "existing" / "hosts.yaml")
    assert [host.name for host in hosts] == ["rack-1", "rack-2", "pi-1"]


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(Misconfigured, match="host_file"):
        open_provider({"host_file": "x"})


def test_a_missing_file_is_a_finding_and_an_error(tmp_path: Path) -> None:
    provider = ExistingProvider(ExistingSettings(hosts_file=str(tmp_path / "absent"), state_dir=str(tmp_path / "s")))
    assert [finding.severity for finding in provider.check()] == [Severity.ERROR]
    with pytest.raises(Misconfigured, match="hosts file"):
        provider.create(MachineRequest("i", "n-0", "t", Spec()))


# From here on with a real sshd.


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Loopback]:
    started = serve(tmp_path / "sshd")
    yield started
    started.stop()


def _provider(tmp_path: Path, rows: list[Mapping[str, object]]) -> ExistingProvider:
    _file(tmp_path, yaml.safe_dump({"hosts": [dict(row) for row in rows]}))
    settings = ExistingSettings(hosts_file=str(tmp_path / "hosts.yaml"), state_dir=str(tmp_path / "state"))
    return ExistingProvider(settings)


def _row(tmp_path: Path, server: Loopback, name: str = "one") -> dict[str, object]:
    assert server.access.private_key is not None
    key = tmp_path / "key"
    key.unlink(missing_ok=True)
    key.touch(mode=0o600)
    key.write_text(server.access.private_key.reveal(), encoding="utf-8")
    return {
        "name": name,
        "address": "127.0.0.1",
        "port": server.access.port,
        "user": server.access.user,
        "key_file": str(key),
        "host_key": server.access.host_key,
    }


@pytest.mark.sshd
def test_the_infrastructure_s_key_logs_in_until_the_delete_and_other_keys_stay(
    tmp_path: Path, server: Loopback
) -> None:
    keys = server.home / ".ssh" / "authorized_keys"
    before = keys.read_text() + "# a comment without an end of line"
    keys.write_text(before)
    public, private = new_key_pair("ours")
    provider = _provider(tmp_path, [_row(tmp_path, server)])
    machine = provider.create(MachineRequest("i", "n-0", "token1", Spec(), (public,)))
    file = tmp_path / "ours"
    file.touch(mode=0o600)
    file.write_text(private.reveal())
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{server.access.port} {server.access.host_key}\n")
    argv = ["ssh", "-i", str(file), "-p", str(server.access.port), "-o", f"UserKnownHostsFile={known}"]
    argv += ["-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", f"{server.access.user}@127.0.0.1", "true"]
    assert subprocess.run(argv, timeout=20, check=False).returncode == 0
    assert keys.read_text().count("im-clues:token1") == 1
    provider.delete(machine.provider_id)
    assert subprocess.run(argv, timeout=20, check=False, capture_output=True).returncode == 255
    assert keys.read_text() == before + "\n"


@pytest.mark.sshd
def test_a_host_that_does_not_answer_is_passed_over_and_named_when_none_is_left(
    tmp_path: Path, server: Loopback
) -> None:
    row = _row(tmp_path, server)
    provider = _provider(tmp_path, [{**row, "name": "absent", "port": free_port()}, row])
    machine = provider.create(MachineRequest("i", "n-0", "token1", Spec()))
    assert machine.provider_id == "one:token1"
    with pytest.raises(NoCapacity, match=r"absent: .*refused.*one: it is reserved") as caught:
        provider.create(MachineRequest("i", "n-1", "token2", Spec()))
    assert caught.value.hint
    assert [m.token for m in provider.list_machines()] == ["token1"]


@pytest.mark.sshd
def test_a_host_with_another_host_key_is_never_used(tmp_path: Path, server: Loopback) -> None:
    provider = _provider(tmp_path, [{**_row(tmp_path, server), "host_key": KEY}])
    with pytest.raises(NoCapacity, match="host key"):
        provider.create(MachineRequest("i", "n-0", "token1", Spec()))
    assert provider.list_machines() == []


@pytest.mark.sshd
def test_a_host_that_is_off_is_released_and_its_key_is_removed_at_the_next_reservation(
    tmp_path: Path, server: Loopback
) -> None:
    provider = _provider(tmp_path, [_row(tmp_path, server)])
    key = new_key_pair()[0]
    machine = provider.create(MachineRequest("i", "n-0", "token1", Spec(), (key,)))
    server.stop()
    provider.delete(machine.provider_id)
    assert provider.list_machines() == []
    keys = server.home / ".ssh" / "authorized_keys"
    assert "token1" in keys.read_text()
    kept = keys.read_text()
    again = serve(tmp_path / "sshd", port=server.access.port)
    try:
        keys.write_text(keys.read_text() + kept)
        provider = _provider(tmp_path, [_row(tmp_path, again)])
        provider.create(MachineRequest("i", "n-0", "token2", Spec(), (key,)))
        assert "token1" not in keys.read_text()
        assert keys.read_text().count("token2") == 1
    finally:
        again.stop()


@pytest.mark.sshd
def test_reboot_goes_over_ssh_and_stop_is_refused(tmp_path: Path, server: Loopback) -> None:
    provider = _provider(tmp_path, [_row(tmp_path, server)])
    machine = provider.create(MachineRequest("i", "n-0", "token1", Spec()))
    provider.reboot(machine.provider_id)
    with pytest.raises(Unsupported):
        provider.stop(machine.provider_id)
    provider.start(machine.provider_id)
    log = server.home / "power.log"
    for _ in range(200):
        if log.exists():
            break
        threading.Event().wait(0.05)
    assert log.read_text() == "systemctl reboot\n"


@pytest.mark.sshd
def test_a_host_that_left_the_file_is_unknown_and_can_be_deleted(tmp_path: Path, server: Loopback) -> None:
    machine = _provider(tmp_path, [_row(tmp_path, server)]).create(MachineRequest("i", "n-0", "token1", Spec()))
    provider = _provider(tmp_path, [])
    seen = provider.get(machine.provider_id)
    assert (seen.phase, seen.access) == ("unknown", None)
    provider.delete(machine.provider_id)
    assert provider.list_machines() == []
