"""What we write, read by cloud-init, netplan and NetworkManager themselves."""

import configparser
from pathlib import Path
from typing import Any

import pytest

from im_client.flash.customise.hashing import wifi_key
from im_client.flash.customise.image import Image, Way
from im_client.flash.customise.layout import Layout, lay_out
from im_client.flash.customise.networks import network_manager, network_manager_wifi
from im_client.flash.customise.rootfiles import CLOUD_PART, NETPLAN_FILE
from infracore.secrets import Secret
from tests.im_client.flash.customise.pi_images import CMDLINE, HASH, KEY, a_node
from tests.im_client.flash.customise.test_layout import EVERYTHING, an_image
from tests.rigs import first_boot

pytestmark = pytest.mark.first_boot
ODD = {"ssid": "on: 'x' \"y\" #\\", "country": "GB", "passphrase": "correct horse"}


BOOT_ONLY = Image(boot=an_image().boot, cmdline=CMDLINE)
"""Of a root partition that is not ext4: all is on the boot partition."""
WITHOUT_COMMANDS = {key: value for key, value in EVERYTHING.items() if key not in {"commands", "config"}}


def laid_out(keys: dict[str, Any], image: Image, way: Way = Way.CLOUDINIT_RPI) -> Layout:
    return lay_out(a_node(**keys), image, way, password_hash=keys.get("password_hash", ""), instance="im-pi1-1")


def seed(folder: Path, way: Way, keys: dict[str, Any], image: Image | None = None) -> Path:
    layout = laid_out(keys, image or an_image(), way)
    for name in ("user-data", "meta-data", "network-config"):
        (folder / name).write_text(layout.boot[name])
    return folder


def root_file(keys: dict[str, Any], path: str) -> str:
    return next(file.text for file in laid_out(keys, an_image()).root if file.path == path)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        EVERYTHING,
        {"user": "ada", "authorized_keys": [KEY], "ssh": False},
        {"user": "ada", "password_hash": HASH, "password_login": True, "wifi": ODD},
    ],
    ids=["nothing", "everything", "no-ssh", "odd"],
)
def test_its_schema_finds_nothing_wrong(tmp_path: Path, keys: dict[str, Any]) -> None:
    assert first_boot.schema(seed(tmp_path, Way.CLOUDINIT, keys) / "user-data") == ""
    if "password_hash" in keys:
        (tmp_path / "part").write_text(root_file(keys, CLOUD_PART))
        assert first_boot.schema(tmp_path / "part") == ""


def test_its_schema_finds_nothing_wrong_where_all_is_on_the_boot_partition(tmp_path: Path) -> None:
    assert first_boot.schema(seed(tmp_path, Way.CLOUDINIT, WITHOUT_COMMANDS, BOOT_ONLY) / "user-data") == ""


@pytest.mark.parametrize("image", [an_image(), BOOT_ONLY], ids=["root", "boot"])
def test_cloud_init_makes_the_account_from_either_place_and_not_its_own(tmp_path: Path, image: Image) -> None:
    """Its own `users` and those of the images name a default account, which nobody wants here."""
    layout = laid_out(WITHOUT_COMMANDS, image)
    part = next((file.text for file in layout.root if file.path == CLOUD_PART), "")
    assert (HASH in layout.boot["user-data"]) == (image is BOOT_ONLY)
    (account,) = first_boot.accounts(layout.boot["user-data"], part, tmp_path)
    assert account["name"] == "ada"
    assert account["hashed_passwd"] == account["passwd"] == HASH
    assert account["lock_passwd"] is False
    assert account["ssh_authorized_keys"] == [KEY]


def test_its_schema_would_find_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "user-data").write_text("#cloud-config\nusers: [{name: a, lock_passwd: perhaps}]\n")
    assert "lock_passwd" in first_boot.schema(tmp_path / "user-data")


def test_nocloud_and_netplan_see_what_was_meant(tmp_path: Path) -> None:
    read = first_boot.read_seed(seed(tmp_path, Way.CLOUDINIT_RPI, WITHOUT_COMMANDS | {"wifi": ODD}, BOOT_ONLY))
    assert read["found"]
    assert read["metadata"]["instance-id"] == "im-pi1-1"
    assert read["userdata"]["hostname"] == "pi1"
    network = read["netplan"]["network"]
    assert network["ethernets"]["eth0"]["addresses"] == ["10.0.0.11/24"]
    assert network["ethernets"]["eth0"]["routes"] == [{"to": "0.0.0.0/0", "via": "10.0.0.1"}]
    assert list(network["wifis"]["wlan0"]["access-points"]) == [ODD["ssid"]]
    assert network["wifis"]["wlan0"]["regulatory-domain"] == "GB"


@pytest.mark.parametrize("ssid", ["lab net", ODD["ssid"], "Größe"])
@pytest.mark.parametrize("in_root", [True, False])
def test_netplan_makes_of_it_what_was_meant(tmp_path: Path, ssid: str, in_root: bool) -> None:
    keys = WITHOUT_COMMANDS | {"wifi": EVERYTHING["wifi"] | {"ssid": ssid}}
    layout = laid_out(keys, an_image() if in_root else BOOT_ONLY)
    texts = [layout.boot["network-config"], *([root_file(keys, NETPLAN_FILE)] if in_root else [])]
    made = first_boot.generated(texts, tmp_path / "root")
    assert "Address=10.0.0.11/24\n" in made["10-netplan-eth0.network"]
    assert "Gateway=10.0.0.1\n" in made["10-netplan-eth0.network"]
    assert ("wifis" in texts[0]) == (not in_root)
    radio = made["wpa-wlan0.conf"]
    assert f'ssid="{ssid}"\n' in radio
    assert "scan_ssid=1\n" in radio
    assert f"psk={wifi_key(ssid, Secret('correct horse'))}\n" in radio


def test_networkmanager_reads_an_ssid_and_a_passphrase_of_any_letters() -> None:
    said = {"ssid": "a;b \\ Größe'", "country": "GB", "passphrase": " it's \\ #1; {} ", "security": "wpa3"}
    wifi = a_node(wifi=said).wifi
    assert wifi
    read = configparser.ConfigParser(interpolation=None)
    read.read_string(first_boot.keyfile(network_manager_wifi(wifi, None)))
    numbers = read["wifi"]["ssid"].split(";")
    assert bytes(int(number) for number in numbers if number).decode() == wifi.ssid
    assert read["wifi-security"]["key-mgmt"] == "sae"
    # NetworkManager writes a leading blank and a backslash so; ConfigParser drops the blank at the end
    assert read["wifi-security"]["psk"] == "\\sit's \\\\ #1; {}"


@pytest.mark.parametrize(
    ("address", "gateway", "family"), [("10.0.0.2/24", "10.0.0.1", "ipv4"), ("fd00::2/64", "fd00::1", "ipv6")]
)
def test_networkmanager_reads_fixed_addresses(address: str, gateway: str, family: str) -> None:
    fixed = {"name": "eth0", "address": address, "gateway": gateway, "dns": ["10.0.0.1", "fd00::1"]}
    read = configparser.ConfigParser(interpolation=None)
    read.read_string(first_boot.keyfile(network_manager(a_node(interfaces=[fixed]).interfaces[0])))
    assert (read[family]["method"], read[family]["address1"]) == ("manual", f"{address},{gateway}")
    assert (read["ipv4"]["dns"], read["ipv6"]["dns"]) == ("10.0.0.1;", "fd00::1;")
