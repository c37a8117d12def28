"""Image files customised and read back by independent programs."""

import dataclasses
import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from im_client.flash.customise import Way, customise, read_mark
from im_client.flash.customise.hashing import wifi_key
from im_client.flash.model import BadImage, InitFormat
from im_client.flash.node import Node
from im_client.providers.local.hostkey import new_host_key
from infracore.errors import CommandFailed, InvalidUsage, Misconfigured, NotFound, Several, Unsupported
from infracore.exitcodes import ExitCode
from infracore.secrets import Secret
from tests.im_client.flash.customise.pi_images import (
    BOOKWORM,
    CMDLINE,
    DEBIAN,
    FIRSTBOOT,
    HASH,
    KEY,
    RPI,
    TRIXIE,
    UBUNTU,
    a_node,
    make_disk,
)

pytestmark = pytest.mark.mtools


def with_key(node: Node) -> Node:
    return dataclasses.replace(node, host_key=new_host_key())


def test_trixie_is_configured_by_cloud_init(tmp_path: Path) -> None:
    disk = make_disk(tmp_path)
    node = with_key(
        a_node(
            user="ada",
            password_hash=HASH,
            authorized_keys=[KEY],
            wifi={"ssid": "Größe: 'x' \"y\"", "country": "ES", "passphrase": "correct horse"},
            interfaces=[{"name": "eth0", "address": "10.0.0.11/24", "gateway": "10.0.0.1", "dns": ["10.0.0.1"]}],
            k3s_cgroups=True,
            config=["[pi5]", "dtparam=pciex1_gen=3"],
            packages=["nfs-common"],
            commands=["echo 'it''s' $HOME >/root/token"],
        )
    )
    done = customise(disk.path, node)
    assert done.way == Way.CLOUDINIT_RPI
    user_data = yaml.safe_load(disk.boot("user-data"))
    assert user_data["hostname"] == "pi1"
    assert "users" not in user_data
    account = yaml.safe_load(disk.root("/etc/cloud/cloud.cfg.d/99-im-clues.cfg"))["users"][0]
    assert (account["name"], account["hashed_passwd"], account["ssh_authorized_keys"]) == ("ada", HASH, [KEY])
    network = yaml.safe_load(disk.boot("network-config"))["network"]
    assert "wifis" not in network
    radio = yaml.safe_load(disk.root("/etc/netplan/60-im-clues.yaml"))["network"]["wifis"]["wlan0"]
    assert list(radio["access-points"]) == ["Größe: 'x' \"y\""]
    assert network["ethernets"]["eth0"]["addresses"] == ["10.0.0.11/24"]
    assert yaml.safe_load(disk.boot("meta-data"))["instance-id"] == done.mark.instance
    assert disk.boot("cmdline.txt") == (
        CMDLINE.rstrip() + " cgroup_memory=1 cgroup_enable=memory cfg80211.ieee80211_regdom=ES\n"
    )
    assert "[pi5]\ndtparam=pciex1_gen=3\n[all]\n" in disk.boot("config.txt")
    assert disk.root_mode("/etc/ssh/im_host_ed25519_key") == "0600"
    assert disk.root("/etc/ssh/sshd_config.d/10-im-clues.conf") == "HostKey /etc/ssh/im_host_ed25519_key\n"
    assert "/root/token" in disk.root("/var/lib/cloud/scripts/per-boot/im-first-boot")
    assert disk.root_mode("/var/lib/cloud/scripts/per-boot/im-first-boot") == "0700"
    disk.fsck(tmp_path)


@pytest.mark.parametrize("root", [TRIXIE, UBUNTU, (*UBUNTU[:2], "/usr/sbin/NetworkManager")])
@pytest.mark.parametrize("security", ["wpa2", "wpa3"])
def test_the_boot_partition_holds_no_secret(tmp_path: Path, security: str, root: tuple[str, ...]) -> None:
    if (security, root) == ("wpa3", UBUNTU):
        root = TRIXIE  # a netplan that knows it
    disk = make_disk(tmp_path, root)
    node = with_key(
        a_node(
            user="ada",
            password="hunter-two",
            wifi={"ssid": "lab", "country": "ES", "passphrase": "hunter-three", "security": security},
            commands=["k3s-join --token hunter-four"],
        )
    )
    customise(disk.path, node)
    held = disk.boot_bytes()
    assert node.host_key
    assert node.host_key.private
    body = node.host_key.private.reveal().splitlines()[1].encode()
    key = wifi_key("lab", Secret("hunter-three"))
    for secret in (b"hunter", b"PRIVATE KEY", body, b"$2b$", key.encode()):
        assert secret not in held
    network = "/etc/netplan/60-im-clues.yaml"
    if "/usr/sbin/netplan" not in root:
        network = "/etc/NetworkManager/system-connections/im-wifi.nmconnection"
    assert (key if security == "wpa2" else "hunter-three") in disk.root(network)
    account = "/etc/cloud/cloud.cfg.d/99-im-clues.cfg"
    assert [disk.root_mode(path) for path in (network, account)] == ["0600", "0600"]
    assert disk.root("/etc/ssh/im_host_ed25519_key") == node.host_key.private.reveal()
    assert re.search(r"hashed_passwd: \$2b\$12\$", disk.root(account))
    disk.fsck(tmp_path)


def test_ubuntu_is_told_by_cloud_init_without_the_words_of_raspberry_pi_os(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, UBUNTU)
    assert customise(disk.path, a_node(user="ada", authorized_keys=[KEY])).way == Way.CLOUDINIT
    assert "enable_ssh" not in yaml.safe_load(disk.boot("user-data"))
    assert "ssh" not in disk.boot_names()


def test_an_instance_id_on_the_command_line_is_changed_with_the_configuration(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, boot={"cmdline.txt": CMDLINE.rstrip() + " ds=nocloud;i=rpi-imager-1\n"})
    first = customise(disk.path, a_node(timezone="Europe/Madrid"), InitFormat.CLOUDINIT_RPI).mark.instance
    assert disk.boot("cmdline.txt").endswith(f" ds=nocloud;i={first}\n")
    second = customise(disk.path, a_node(timezone="Europe/Paris"), InitFormat.CLOUDINIT_RPI).mark.instance
    assert first != second
    assert disk.boot("cmdline.txt").endswith(f" ds=nocloud;i={second}\n")


def test_bookworm_gets_custom_toml_where_it_says_all(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, BOOKWORM, {"cmdline.txt": FIRSTBOOT, "firstrun.sh": "#!/bin/sh\n"})
    done = customise(disk.path, a_node(user="ada", password_hash=HASH, keyboard="gb"))
    assert (done.way, done.removed) == (Way.TOML, ("firstrun.sh",))
    assert tomllib.loads(disk.boot("custom.toml"))["user"]["password"] == HASH
    assert "firstrun.sh" not in disk.boot_names()
    assert disk.boot("cmdline.txt") == FIRSTBOOT


def test_bookworm_gets_firstrun_where_custom_toml_has_no_words(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, BOOKWORM, {"cmdline.txt": FIRSTBOOT, "custom.toml": ""})
    wifi = {"ssid": "a;b", "country": "GB", "passphrase": "correct horse", "security": "wpa3"}
    node = a_node(user="ada", authorized_keys=[KEY], locale="es_ES.UTF-8", wifi=wifi, packages=["nfs-common"])
    done = customise(disk.path, node)
    assert (done.way, done.removed) == (Way.FIRSTRUN, ("custom.toml",))
    assert "systemd.run=/boot/firmware/firstrun.sh" in disk.boot("cmdline.txt").split()
    assert disk.boot("cmdline.txt").count("\n") == 1
    connection = "/etc/NetworkManager/system-connections/im-wifi.nmconnection"
    assert "ssid=97;59;98;" in disk.root(connection)
    assert disk.root_mode(connection) == "0600"
    assert disk.root_mode("/etc/NetworkManager/system-connections") == "0700"
    assert disk.root_mode("/usr/local/sbin/im-first-boot") == "0700"
    wanted = disk.root_stat("/etc/systemd/system/multi-user.target.wants/im-first-boot.service")
    assert 'dest: "/etc/systemd/system/im-first-boot.service"' in wanted
    disk.fsck(tmp_path)


def test_a_second_time_changes_nothing_but_salts(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, BOOKWORM, {"cmdline.txt": FIRSTBOOT})
    keys = {"k3s_cgroups": True, "config": ["gpu_mem=16"], "locale": "es_ES.UTF-8", "cmdline": ["quiet"]}
    node = with_key(a_node(user="ada", password_hash=HASH, **keys))
    first = customise(disk.path, node, image="abc")
    before = {name: disk.boot(name) for name in disk.boot_names()}
    assert customise(disk.path, node, image="abc") == first.__class__(
        first.way,
        tuple(name for name in first.boot if name not in {"cmdline.txt", "config.txt"}),
        (),
        first.root,
        first.mark,
    )
    assert {name: disk.boot(name) for name in disk.boot_names()} == before
    disk.fsck(tmp_path)


def test_what_another_time_wrote_goes(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, BOOKWORM, {"cmdline.txt": CMDLINE})
    wifi = {"ssid": "lab", "country": "GB", "passphrase": "correct horse"}
    fixed = [{"name": "end0", "address": "10.0.0.2/24"}]
    customise(disk.path, a_node(wifi=wifi, interfaces=fixed, commands=["true"], locale="es_ES.UTF-8"))
    done = customise(disk.path, a_node(wifi=wifi))
    assert {path.rpartition("/")[2] for path in done.removed} == {
        *("im-end0.nmconnection", "im-first-boot", "im-first-boot.service"),
    }
    assert disk.root_stat("/etc/NetworkManager/system-connections/im-end0.nmconnection") == ""
    assert disk.root_stat("/etc/NetworkManager/system-connections/im-wifi.nmconnection") != ""
    disk.fsck(tmp_path)


def test_older_systems_get_userconf_and_root_files(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, BOOKWORM, {})
    wifi = {"ssid": 'a"b', "country": "GB", "passphrase": "correct horse"}
    node = a_node(user="ada", password_hash=HASH, wifi=wifi, timezone="Europe/Madrid")
    assert customise(disk.path, node, InitFormat.NONE).way == Way.OLDER
    assert disk.boot("userconf.txt") == f"ada:{HASH}\n"
    assert "ssid=612262\n" in disk.boot("wpa_supplicant.conf")
    assert "ssh" in disk.boot_names()
    assert disk.root("/etc/hostname") == "pi1\n"
    assert disk.root("/etc/hosts") == "127.0.0.1\tlocalhost\n127.0.1.1\tpi1\n"
    assert 'dest: "/usr/share/zoneinfo/Europe/Madrid"' in disk.root_stat("/etc/localtime")
    disk.fsck(tmp_path)


def test_debians_own_image_gets_sysconf_and_the_sources_of_its_boot_options(tmp_path: Path) -> None:
    etc = {"/etc/default/raspi-firmware-custom": "[cm4]\notg_mode=1\n[all]\n"}
    boot = {"sysconf.txt": "# root_pw=\n#hostname=rpi\n"}
    disk = make_disk(tmp_path, DEBIAN, boot, etc)
    keys = {"timezone": "Europe/Madrid", "k3s_cgroups": True, "config": ["gpu_mem=16"], "packages": ["nfs-common"]}
    node = with_key(a_node(user="root", authorized_keys=[f"{KEY} #1"], **keys))
    assert customise(disk.path, node).way == Way.SYSCONF
    assert disk.boot("sysconf.txt").splitlines() == [
        "# Made by im flash",
        "hostname=pi1",
        f"root_authorized_key={' '.join(KEY.split()[:2])}",
    ]
    # Debian's package writes cmdline.txt and config.txt anew at the first boot: what it reads is told too
    for path, option in {"cmdline.txt": "cgroup_enable=memory", "config.txt": "gpu_mem=16"}.items():
        assert option in disk.boot(path)
    assert disk.root("/etc/default/raspi-extra-cmdline") == "cgroup_memory=1 cgroup_enable=memory\n"
    custom = disk.root("/etc/default/raspi-firmware-custom")
    assert custom.startswith("[cm4]\notg_mode=1\n[all]\n#")
    assert "\n[all]\ngpu_mem=16\n" in custom
    assert disk.root("/etc/hosts") == "127.0.0.1\tlocalhost\n127.0.1.1\tpi1\n"
    assert 'dest: "/usr/share/zoneinfo/Europe/Madrid"' in disk.root_stat("/etc/localtime")
    assert "nfs-common" in disk.root("/usr/local/sbin/im-first-boot")
    assert disk.root("/etc/ssh/sshd_config.d/10-im-clues.conf").splitlines() == [
        "HostKey /etc/ssh/im_host_ed25519_key",
        "PasswordAuthentication no",
    ]
    customise(disk.path, node)
    assert disk.root("/etc/default/raspi-firmware-custom") == custom
    disk.fsck(tmp_path)


def test_an_sshd_that_includes_nothing_has_its_own_file_edited(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, etc={"/etc/ssh/sshd_config": "PermitRootLogin no\n"})
    node = with_key(a_node())
    customise(disk.path, node)
    customise(disk.path, node)
    assert disk.root("/etc/ssh/sshd_config") == "HostKey /etc/ssh/im_host_ed25519_key\nPermitRootLogin no\n"


def test_what_an_image_cannot_be_told_is_refused_with_why_and_nothing_is_written(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, ("/usr/lib/systemd/systemd",), {})
    before = disk.path.read_bytes()
    node = a_node(
        user="ada", authorized_keys=[KEY], interfaces=[{"name": "eth0", "address": "10.0.0.2/24"}], keyboard="gb"
    )
    with pytest.raises(Several) as raised:
        customise(disk.path, node)
    assert raised.value.exit_code == ExitCode.INVALID
    assert [error.message.split(": ")[1].split()[0] for error in raised.value.errors] == [
        *("user", "authorized_keys", "keyboard", "interfaces"),
    ]
    assert disk.path.read_bytes() == before


def test_an_image_without_a_way_still_gets_name_key_and_commands(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, ("/usr/lib/systemd/systemd",), {})
    done = customise(disk.path, with_key(a_node(commands=["true"], k3s_cgroups=True)), InitFormat.NONE)
    assert done.way == Way.NONE
    assert disk.root("/etc/hostname") == "pi1\n"
    assert "cgroup_enable=memory" in disk.boot("cmdline.txt")
    disk.fsck(tmp_path)


def test_indexed_folders_stay_whole(tmp_path: Path) -> None:
    many = {f"/etc/{'x' * 100}-{n}": "" for n in range(40)}
    disk = make_disk(tmp_path, ("/usr/lib/systemd/systemd",), {}, many)
    disk.index()
    assert "Flags: 0x81000" in disk.root_stat("/etc")
    customise(disk.path, a_node(timezone="Europe/Madrid"), InitFormat.NONE)
    assert disk.root("/etc/hostname") == "pi1\n"
    disk.fsck(tmp_path)


def test_a_list_that_says_what_the_image_is_not_is_refused(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, RPI, {})
    with pytest.raises(Unsupported, match="cloud-init"):
        customise(disk.path, a_node(), InitFormat.CLOUDINIT)


def test_what_is_no_pi_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.img"
    empty.write_bytes(bytes(1 << 20))
    with pytest.raises(BadImage, match="no partition table"):
        customise(empty, a_node())
    assert read_mark(empty) is None
    with pytest.raises(NotFound, match="cannot be read"):
        customise(tmp_path / "absent.img", a_node())
    disk = make_disk(tmp_path)
    disk.blank_boot()
    with pytest.raises(Unsupported, match="no boot partition"):
        customise(disk.path, a_node())
    assert read_mark(disk.path) is None


def test_a_root_partition_that_is_damaged_is_not_written(tmp_path: Path) -> None:
    disk = make_disk(tmp_path)
    disk.damage()
    with pytest.raises(CommandFailed, match="not clean"):
        customise(disk.path, with_key(a_node()))
    assert read_mark(disk.path) is None


def test_a_mark_tells_image_and_configuration_but_no_secret(tmp_path: Path) -> None:
    disk = make_disk(tmp_path)
    assert read_mark(disk.path) is None
    node = with_key(a_node(user="ada", password="hunter-two"))
    customise(disk.path, node, image="sha256:abc")
    mark = read_mark(disk.path)
    assert mark
    assert node.host_key
    assert (mark.hostname, mark.image, mark.host_key) == ("pi1", "sha256:abc", node.host_key.public)
    assert mark.holds(node, "sha256:abc")
    assert mark.holds(a_node(user="ada", password="hunter-two"), "sha256:abc")
    assert not mark.holds(node, "sha256:def")
    assert not mark.holds(a_node(user="ada", password="hunter-too"), "sha256:abc")
    assert set(json.loads(disk.boot("im-clues.json"))) == {
        "im_clues",
        "hostname",
        "image",
        "digest",
        "salt",
        "host_key",
    }


@pytest.mark.parametrize("text", ["", "{", "[]", '{"im_clues": 2}', '{"im_clues": 1, "salt": "zz"}'])
def test_a_damaged_mark_is_no_mark(tmp_path: Path, text: str) -> None:
    disk = make_disk(tmp_path, boot={"im-clues.json": text})
    assert read_mark(disk.path) is None
    customise(disk.path, a_node(), InitFormat.CLOUDINIT_RPI)
    assert read_mark(disk.path)


def test_foreign_bytes_of_boot_files_stay(tmp_path: Path) -> None:
    disk = make_disk(tmp_path)
    disk.put("config.txt", b"# gr\xfc\xdfe\r\ngpu_mem=64\r\n")
    customise(disk.path, a_node(config=["gpu_mem=16"]))
    assert b"# gr\xfc\xdfe\r\ngpu_mem=64\r\n" in disk.boot_bytes()


def test_a_missing_program_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = make_disk(tmp_path)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(Misconfigured, match="mdir is not installed") as raised:
        read_mark(disk.path)
    assert raised.value.hint == "run: apt-get install mtools"


def test_a_name_that_the_programs_read_otherwise_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidUsage, match="means something else"):
        customise(tmp_path / "a?offset=1.img", a_node())


def test_trixie_is_known_by_its_files(tmp_path: Path) -> None:
    assert set(TRIXIE) > set(RPI)
    disk = make_disk(tmp_path, TRIXIE, {})
    assert customise(disk.path, a_node()).way == Way.CLOUDINIT_RPI
