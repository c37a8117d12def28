"""What we write, read by cloud-init itself."""

from pathlib import Path
from typing import Any

import pytest

from im_client.flash.customise.image import Way
from im_client.flash.customise.layout import lay_out
from tests.im_client.flash.customise.pi_images import HASH, KEY, a_node
from tests.im_client.flash.customise.test_layout import EVERYTHING, an_image
from tests.rigs import cloud_init

pytestmark = pytest.mark.cloud_init
ODD = {"ssid": "on: 'x' \"y\" #\\", "country": "GB", "passphrase": "correct horse"}


def seed(folder: Path, way: Way, keys: dict[str, Any]) -> Path:
    layout = lay_out(a_node(**keys), an_image(), way, password_hash=keys.get("password_hash", ""), instance="im-pi1-1")
    for name in ("user-data", "meta-data", "network-config"):
        (folder / name).write_text(layout.boot[name])
    return folder


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
    assert cloud_init.schema(seed(tmp_path, Way.CLOUDINIT, keys) / "user-data") == ""


def test_its_schema_would_find_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "user-data").write_text("#cloud-config\nusers: [{name: a, lock_passwd: perhaps}]\n")
    assert "lock_passwd" in cloud_init.schema(tmp_path / "user-data")


def test_nocloud_and_netplan_see_what_was_meant(tmp_path: Path) -> None:
    read = cloud_init.read_seed(seed(tmp_path, Way.CLOUDINIT_RPI, EVERYTHING | {"wifi": ODD}))
    assert read["found"]
    assert read["metadata"]["instance-id"] == "im-pi1-1"
    assert read["userdata"]["hostname"] == "pi1"
    network = read["netplan"]["network"]
    assert network["ethernets"]["eth0"]["addresses"] == ["10.0.0.11/24"]
    assert network["ethernets"]["eth0"]["routes"] == [{"to": "0.0.0.0/0", "via": "10.0.0.1"}]
    assert list(network["wifis"]["wlan0"]["access-points"]) == [ODD["ssid"]]
    assert network["wifis"]["wlan0"]["regulatory-domain"] == "GB"
