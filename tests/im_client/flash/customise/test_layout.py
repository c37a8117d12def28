"""Which files a configuration becomes: golden files, read back by the parsers that will read them."""

import ctypes
import hashlib
import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from im_client.flash.customise.bootfiles import K3S, edit_cmdline, edit_config
from im_client.flash.customise.hashing import hash_password, wifi_key
from im_client.flash.customise.image import PROBES, Image, Way, find_way
from im_client.flash.customise.layout import Layout, lay_out
from im_client.flash.model import InitFormat
from im_client.flash.node import Node
from infracore.errors import InfraError
from infracore.secrets import Secret
from tests.im_client.flash.customise.pi_images import (
    BOOKWORM,
    CMDLINE,
    CONFIG,
    DEBIAN,
    FIRSTBOOT,
    HASH,
    KEY,
    RPI,
    SSHD,
    TRIXIE,
)
from tests.im_client.flash.customise.pi_images import a_node as node_of

GOLDEN = Path(__file__).resolve().parents[3] / "golden" / "flash"
EVERYTHING: dict[str, Any] = {
    "user": "ada",
    "password_hash": HASH,
    "authorized_keys": [KEY],
    "wifi": {"ssid": "lab net", "country": "GB", "passphrase": "correct horse", "hidden": True},
    "interfaces": [{"name": "eth0", "address": "10.0.0.11/24", "gateway": "10.0.0.1", "dns": ["10.0.0.1", "fd00::1"]}],
    "locale": "en_GB.UTF-8",
    "keyboard": "gb",
    "timezone": "Europe/London",
    "cmdline": ["usbcore.autosuspend=-1"],
    "k3s_cgroups": True,
    "config": ["gpu_mem=16", "[pi5]", "dtparam=fan_temp0=50000"],
    "packages": ["nfs-common", "open-iscsi"],
    "commands": ["echo 'one' \"two\" $HOME >/root/said", "systemctl disable --now bluetooth"],
}


def an_image(root: tuple[str, ...] = TRIXIE, cmdline: str = CMDLINE) -> Image:
    return Image(
        boot=frozenset({"config.txt", "cmdline.txt", "user-data", "meta-data"}),
        root=frozenset(root) & frozenset(PROBES),
        cmdline=cmdline,
        config=CONFIG,
        fstab="PARTUUID=1-01 /boot/firmware vfat defaults 0 2\n",
        hosts="127.0.0.1\tlocalhost\n",
        sshd_config=SSHD,
    )


def laid_out(node: Node, image: Image, way: Way) -> Layout:
    return lay_out(node, image, way, password_hash=node.password_hash, instance="im-pi1-0123456789abcdef")


def check_golden(way: str, layout: Layout) -> None:
    """Hold all files against one golden file. IM_CLUES_GOLDEN=write makes it anew."""
    parts = [f"== boot: {path}\n{text}" for path, text in layout.boot.items()]
    parts += [f"== root: {f.path} {f.mode:o} {f'-> {f.target}' if f.target else ''}\n{f.text}" for f in layout.root]
    parts += [f"== removed: {name}\n" for name in layout.removed]
    path = GOLDEN / f"{way}.txt"
    if os.environ.get("IM_CLUES_GOLDEN") == "write":
        path.write_text("".join(parts))
    assert "".join(parts) == path.read_text()


@pytest.mark.parametrize(
    ("way", "root"),
    [
        (Way.CLOUDINIT, TRIXIE),
        (Way.CLOUDINIT_RPI, TRIXIE),
        (Way.FIRSTRUN, BOOKWORM),
    ],
)
def test_everything_is_told(way: Way, root: tuple[str, ...]) -> None:
    layout = laid_out(node_of(**EVERYTHING), an_image(root), way)
    check_golden(way.name.lower(), layout)


def test_custom_toml_tells_all_but_the_locale() -> None:
    node = node_of(**EVERYTHING | {"locale": ""})
    layout = laid_out(node, an_image(BOOKWORM, FIRSTBOOT), Way.TOML)
    check_golden("toml", layout)
    read = tomllib.loads(layout.boot["custom.toml"])
    assert read["wlan"]["password"] == hashlib.pbkdf2_hmac("sha1", b"correct horse", b"lab net", 4096, 32).hex()
    assert read["ssh"]["authorized_keys"] == [KEY]


def test_the_older_files_are_told() -> None:
    told = {key: EVERYTHING[key] for key in ("user", "password_hash", "wifi", "timezone", "config", "k3s_cgroups")}
    check_golden("older", laid_out(node_of(**told), an_image(BOOKWORM), Way.OLDER))


def test_scripts_are_shell_and_units_are_systemd(tmp_path: Path) -> None:
    layout = laid_out(node_of(**EVERYTHING), an_image(BOOKWORM), Way.FIRSTRUN)
    scripts = [layout.boot["firstrun.sh"], *(f.text for f in layout.root if f.text.startswith("#!/bin/sh"))]
    assert len(scripts) == 2
    for text in scripts:
        subprocess.run(["sh", "-n"], input=text, text=True, check=True, timeout=30)


@pytest.mark.parametrize(
    "text",
    [
        "it's",
        'a "b"',
        "a: {b}",
        "# no comment",
        "- x",
        "on",
        "1e3",
        "!!python/object:os.system",
        "$(id)`id`",
        "\\",
        "&a *a",
    ],
)
def test_text_of_people_stays_text(text: str) -> None:
    node = node_of(
        user="ada",
        authorized_keys=[KEY.replace("ada@lab", text)],
        wifi={"ssid": text, "country": "GB", "passphrase": (text * 8)[:40], "security": "wpa3"},
        commands=[text],
    )
    layout = laid_out(node, an_image(), Way.CLOUDINIT_RPI)
    user_data = yaml.safe_load(layout.boot["user-data"])
    assert user_data["users"][0]["ssh_authorized_keys"] == [node.authorized_keys[0]]
    netplan = yaml.safe_load(next(f.text for f in layout.root if f.path.startswith("/etc/netplan")))
    assert netplan["network"]["wifis"]["wlan0"]["access-points"][text]["auth"]["password"] == (text * 8)[:40]
    script = next(f.text for f in layout.root if f.path.endswith("im-first-boot"))
    # the words that the script gives to `sh -c`, as a shell reads them
    shown = script.replace("sh -c ", "printf '%s' ")
    done = subprocess.run(["sh"], input=shown, text=True, capture_output=True, check=True, timeout=30)
    assert done.stdout == text
    first = laid_out(node, an_image(BOOKWORM), Way.FIRSTRUN).boot["firstrun.sh"]
    line = next(line for line in first.splitlines() if "authorized_keys" in line and "printf" in line)
    keys = line.partition(" >")[0]
    done = subprocess.run(["sh", "-c", keys], text=True, capture_output=True, check=True, timeout=30)
    assert done.stdout == f"{node.authorized_keys[0]}\n"


@pytest.mark.parametrize("name", ['say "cheese"', "back\\slash", "Größe", "tab-free", "x" * 32, "😀"])
def test_an_ssid_of_any_letters_reaches_custom_toml_or_a_connection(name: str) -> None:
    node = node_of(wifi={"ssid": name, "country": "GB", "passphrase": "correct horse"})
    way = find_way(an_image(BOOKWORM, FIRSTBOOT), None, node)
    layout = laid_out(node, an_image(BOOKWORM, FIRSTBOOT), way)
    if way == Way.TOML:
        assert tomllib.loads(layout.boot["custom.toml"])["wlan"]["ssid"] == name
    else:
        text = next(f.text for f in layout.root if "nmconnection" in f.path)
        numbers = next(line for line in text.splitlines() if line.startswith("ssid=")).removeprefix("ssid=")
        assert bytes(int(number) for number in numbers.split(";") if number).decode() == name


@pytest.mark.parametrize(
    ("root", "cmdline", "init", "way"),
    [
        (TRIXIE, CMDLINE, None, Way.CLOUDINIT_RPI),
        (tuple(set(TRIXIE) - {"/etc/rpi-issue"}), CMDLINE, None, Way.CLOUDINIT),
        (TRIXIE, CMDLINE, InitFormat.CLOUDINIT, Way.CLOUDINIT),
        (BOOKWORM, FIRSTBOOT, None, Way.TOML),
        (BOOKWORM, CMDLINE, None, Way.FIRSTRUN),
        (BOOKWORM, FIRSTBOOT, InitFormat.SYSTEMD, Way.TOML),
        (RPI, CMDLINE, None, Way.FIRSTRUN),
        (BOOKWORM, CMDLINE, InitFormat.NONE, Way.OLDER),
        (RPI, CMDLINE, InitFormat.NONE, Way.NONE),
        (DEBIAN, CMDLINE, None, Way.SYSCONF),
        ((*DEBIAN, "/usr/bin/cloud-init"), CMDLINE, None, Way.CLOUDINIT),
        ((), "", None, Way.NONE),
    ],
)
def test_the_way_follows_from_what_the_image_has(
    root: tuple[str, ...], cmdline: str, init: InitFormat | None, way: Way
) -> None:
    assert find_way(an_image(root, cmdline), init, node_of()) == way


def test_an_image_whose_root_cannot_be_read_is_known_by_its_boot_partition() -> None:
    image = Image(boot=frozenset({"user-data", "meta-data"}), cmdline=CMDLINE)
    assert find_way(image, None, node_of()) == Way.CLOUDINIT
    assert laid_out(node_of(user="ada", authorized_keys=[KEY]), image, Way.CLOUDINIT).root == ()
    with pytest.raises(InfraError, match="commands cannot be set on this image"):
        laid_out(node_of(commands=["true"]), image, Way.CLOUDINIT)


@pytest.mark.parametrize(
    ("keys", "way", "root", "said"),
    [
        ({"user": "ada", "authorized_keys": [KEY]}, Way.OLDER, BOOKWORM, "authorized_keys"),
        ({"user": "ada_l", "password_hash": HASH}, Way.OLDER, BOOKWORM, "small letters, digits and dashes"),
        ({"user": "_ada", "password_hash": HASH}, Way.OLDER, BOOKWORM, "user cannot be set"),
        ({"locale": "en_GB.UTF-8"}, Way.NONE, RPI, "locale"),
        ({"user": "ada", "authorized_keys": [KEY]}, Way.SYSCONF, DEBIAN, "none but root"),
        ({"user": "root", "authorized_keys": [KEY, KEY]}, Way.SYSCONF, DEBIAN, "sysconf.txt takes one"),
        ({"keyboard": "gb"}, Way.SYSCONF, DEBIAN, "keyboard"),
        ({"wifi": {"ssid": "a", "country": "GB", "passphrase": "12345678"}}, Way.SYSCONF, DEBIAN, "wifi"),
        ({"interfaces": [{"name": "eth0", "address": "10.0.0.2/24"}]}, Way.SYSCONF, DEBIAN, "neither NetworkManager"),
        ({"user": "root", "authorized_keys": [KEY]}, Way.CLOUDINIT_RPI, TRIXIE, "root is an account of the system"),
        ({"user": "root", "authorized_keys": [KEY]}, Way.TOML, BOOKWORM, "root is an account of the system"),
        ({"interfaces": [{"name": "eth0", "address": "10.0.0.2/24"}]}, Way.FIRSTRUN, (), "neither NetworkManager"),
        ({"packages": ["vim"]}, Way.NONE, (), "no systemd"),
        (
            {"wifi": {"ssid": "a", "country": "GB", "passphrase": "12345678", "security": "wpa3"}},
            Way.CLOUDINIT,
            ("/usr/bin/cloud-init", "/usr/sbin/netplan"),
            "neither NetworkManager nor netplan that knows WPA3",
        ),
    ],
)
def test_what_cannot_be_told_is_refused(keys: dict[str, Any], way: Way, root: tuple[str, ...], said: str) -> None:
    with pytest.raises(InfraError) as raised:
        laid_out(node_of(**keys), an_image(root), way)
    assert said in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize("way", [Way.TOML, Way.FIRSTRUN, Way.CLOUDINIT_RPI])
def test_a_name_that_only_userconf_refuses_is_taken_by_the_other_ways(way: Way) -> None:
    layout = laid_out(node_of(user="ada_l", password_hash=HASH), an_image(BOOKWORM, FIRSTBOOT), way)
    assert any("ada_l" in text for text in [*layout.boot.values(), *(f.text for f in layout.root)])


def test_a_netplan_that_would_stumble_over_wpa3_is_passed_by() -> None:
    wifi = {"ssid": "lab", "country": "GB", "passphrase": "12345678", "security": "wpa3"}
    root = ("/usr/bin/cloud-init", "/usr/sbin/netplan", "/usr/sbin/NetworkManager")
    layout = laid_out(node_of(wifi=wifi), an_image(root), Way.CLOUDINIT)
    assert [f.path.rpartition("/")[2] for f in layout.root] == ["im-wifi.nmconnection"]
    assert "key-mgmt=sae\npsk=12345678\n" in layout.root[0].text


def test_options_of_the_kernel_are_added_once_and_others_stay() -> None:
    before = 'console=tty1 dyndbg="file a.c +p" cgroup_disable=memory rootwait\n# not read\n'
    once = edit_cmdline(before, K3S, ("cgroup_disable=memory",))
    assert once == 'console=tty1 dyndbg="file a.c +p" rootwait cgroup_memory=1 cgroup_enable=memory\n# not read\n'
    assert edit_cmdline(once, K3S, ("cgroup_disable=memory",)) == once
    country = "cfg80211.ieee80211_regdom="
    assert edit_cmdline(f"a {country}GB b", [f"{country}ES"], (), [country]) == f"a b {country}ES\n"


_LINES = st.lists(
    st.sampled_from(["[pi4]", "[pi5]", "[all]", "gpu_mem=16", "dtparam=audio=on", "arm_64bit=1", "# x", ""])
)


@given(_LINES, st.lists(st.sampled_from(["[pi5]", "[all]", "gpu_mem=16", "dtoverlay=disable-wifi"])), st.booleans())
def test_editing_config_twice_is_editing_it_once(before: list[str], ours: list[str], is_ended: bool) -> None:
    text = "\n".join(before) + ("\n" if is_ended else "")
    once = edit_config(text, ours)
    assert edit_config(once, ours) == once
    assert once.startswith(text)
    assert edit_config(once, []).rstrip("\n") == text.rstrip("\n")


def test_lines_of_config_stay_in_their_sections() -> None:
    text = edit_config(
        "[pi4]\narm_boost=1", ["gpu_mem=16", "[pi5]", "usb_max_current_enable=1", "[all]", "[pi4]", "arm_boost=1"]
    )
    assert text.splitlines()[:2] == ["[pi4]", "arm_boost=1"]
    assert text.splitlines()[3:-1] == ["[all]", "gpu_mem=16", "[pi5]", "usb_max_current_enable=1", "[all]"]


def test_the_key_of_a_network_is_that_of_the_standard() -> None:
    # IEEE 802.11-2020, J.4.2, test vector 1
    assert wifi_key("IEEE", Secret("password")) == "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
    assert wifi_key("lab", Secret("AB" * 32)) == "ab" * 32


def test_a_hash_lets_the_password_in_by_the_systems_own_crypt() -> None:
    try:
        crypt = ctypes.CDLL("libcrypt.so.1").crypt
    except OSError:
        pytest.skip("there is no libcrypt.so.1")
    crypt.restype = ctypes.c_char_p
    hashed = hash_password(Secret("Größe 1"), rounds=4).encode()
    assert crypt("Größe 1".encode(), hashed) == hashed
    assert crypt(b"other", hashed) != hashed


@pytest.mark.parametrize("password", ["", "x" * 73])
def test_a_password_that_the_scheme_does_not_take_is_refused(password: str) -> None:
    with pytest.raises(InfraError, match="1 to 72 bytes"):
        hash_password(Secret(password))
