"""What a board's keys may be."""

from typing import Any

import pytest

from im_client.flash.node import Interface, Security, decode_node, decode_nodes
from infracore.errors import InfraError, Misconfigured, Several
from infracore.exitcodes import ExitCode
from infracore.secrets import Secret

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEmqnULRDmx5BYmhfrqrfOxFTR2Fp1MMXNfWBvLSbmQG ada@lab"
HASH = "$6$Yb1/xXvPvD2w$" + "a" * 86


def wrong(**keys: Any) -> str:
    with pytest.raises(InfraError) as raised:
        decode_node({"hostname": "pi1", **keys}, "lab: pi1")
    assert raised.value.exit_code == ExitCode.INVALID
    assert raised.value.hint
    return raised.value.message


def test_a_name_is_enough() -> None:
    node = decode_node({"hostname": "pi1"}, "lab")
    assert (node.hostname, node.ssh, node.password_login, node.wifi) == ("pi1", True, False, None)


def test_every_key_is_read() -> None:
    node = decode_node(
        {
            "hostname": "pi1",
            "user": "ada",
            "password": "correct horse",
            "authorized_keys": [KEY],
            "wifi": {"ssid": "Größe", "country": "ES", "passphrase": "a b c d e", "security": "wpa3", "hidden": True},
            "interfaces": [{"name": "eth0", "address": "10.0.0.11/24", "gateway": "10.0.0.1", "dns": ["10.0.0.1"]}],
            "locale": "en_GB.UTF-8",
            "keyboard": "gb",
            "timezone": "Europe/Madrid",
            "cmdline": ["usbcore.autosuspend=-1"],
            "k3s_cgroups": "true",
            "config": ["gpu_mem=16", "[pi5]", "dtparam=pciex1_gen=3"],
            "packages": ["nfs-common"],
            "commands": ["systemctl disable bluetooth\nrfkill block bluetooth"],
            "ssh": True,
            "password_login": True,
        },
        "lab",
    )
    assert node.wifi
    assert (node.wifi.security, node.wifi.passphrase) == (Security.WPA3, Secret("a b c d e"))
    assert node.interfaces == (Interface("eth0", "10.0.0.11/24", "10.0.0.1", ("10.0.0.1",)),)
    assert node.k3s_cgroups
    assert "correct horse" not in repr(node)
    assert "a b c d e" not in repr(node)


def test_a_router_of_ipv6_is_known_by_its_address_of_the_link() -> None:
    fixed = [{"name": "eth0", "address": "fd00::2/64", "gateway": "fe80::1"}]
    assert decode_node({"hostname": "pi1", "interfaces": fixed}, "lab").interfaces[0].gateway == "fe80::1"
    assert "gateway" in wrong(interfaces=[{"name": "eth0", "address": "10.0.0.2/24", "gateway": "fe80::1"}])


@pytest.mark.parametrize(
    ("keys", "takes"),
    [
        ({"password_hash": HASH}, True),
        ({"password_hash": HASH, "authorized_keys": [KEY]}, False),
        ({"authorized_keys": [KEY]}, False),
        ({"password_hash": HASH, "password_login": False}, False),
    ],
)
def test_somebody_without_a_key_comes_in_by_password(keys: dict[str, Any], takes: bool) -> None:
    assert decode_node({"hostname": "pi1", "user": "ada", **keys}, "lab").password_login is takes


def test_all_that_is_wrong_is_said_at_once() -> None:
    message = wrong(usr="ada", wifi={"ssid": 3}, interfaces=[{"name": "eth0"}])
    assert "lab: pi1: usr: there is no key 'usr'" in message
    assert "wifi.ssid: Expected `str`, got `int`" in message
    assert "interfaces[0]: address is missing" in message


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"hostname": "pi_1"}, "hostname"),
        ({"hostname": "pi1\nroot"}, "hostname"),
        ({"hostname": "pi$(id)"}, "hostname"),
        ({"hostname": "localhost"}, "hostname"),
        ({"hostname": "-pi"}, "hostname"),
        ({"hostname": "a" * 64}, "hostname"),
        ({"user": "root", "password_hash": HASH}, "account of the system"),
        ({"user": "a: b", "password_hash": HASH}, "user"),
        ({"user": "ada"}, "could not log in"),
        ({"password_hash": HASH}, "user"),
        ({"user": "ada", "password_hash": HASH, "password": "x"}, "both given"),
        ({"user": "ada", "password": "x" * 73}, "longer than 72"),
        ({"user": "ada", "password": "a\nb"}, "control characters"),
        ({"user": "ada", "password_hash": "$1$salt$" + "a" * 22}, "modern"),
        ({"user": "ada", "password_hash": "secret"}, "modern"),
        ({"user": "ada", "password_hash": HASH + "\nroot::"}, "modern"),
        ({"user": "ada", "authorized_keys": [KEY], "password_login": True}, "password_login"),
        ({"user": "ada", "authorized_keys": [KEY + "\nssh-rsa AAAA"]}, "authorized_keys[0]"),
        ({"user": "ada", "authorized_keys": ['command="id" ' + KEY]}, "authorized_keys[0]"),
        ({"user": "ada", "authorized_keys": ["ssh-ed25519 AAAÄ ada"]}, "authorized_keys[0]"),
        ({"user": "ada", "authorized_keys": ["ssh-rsa " + KEY.split()[1]]}, "authorized_keys[0]"),
        ({"wifi": {"ssid": "lab", "passphrase": "12345678"}}, "wifi.country: it is missing"),
        ({"wifi": {"ssid": "lab", "country": "uk", "passphrase": "12345678"}}, "wifi.country"),
        ({"wifi": {"ssid": "lab", "country": "GB"}}, "wifi.passphrase: it is missing"),
        ({"wifi": {"ssid": "lab", "country": "GB", "passphrase": "short"}}, "wifi.passphrase"),
        ({"wifi": {"ssid": "lab", "country": "GB", "passphrase": "12345678", "security": "open"}}, "wifi.passphrase"),
        ({"wifi": {"ssid": "lab", "country": "GB", "passphrase": "f" * 64, "security": "wpa3"}}, "wifi.passphrase"),
        ({"wifi": {"ssid": "a" * 33, "country": "GB", "security": "open"}}, "wifi.ssid"),
        ({"wifi": {"ssid": 'a"\n}', "country": "GB", "security": "open"}}, "wifi.ssid"),
        ({"interfaces": [{"name": "eth0", "address": "10.0.0.1"}]}, "prefix"),
        ({"interfaces": [{"name": "eth0", "address": "10.0.0.0/24"}]}, "prefix"),
        ({"interfaces": [{"name": "eth0", "address": "10.0.0.2/24", "gateway": "10.0.1.1"}]}, "gateway"),
        ({"interfaces": [{"name": "eth0", "address": "10.0.0.2/24", "dns": ["dns.lab"]}]}, "dns[0]"),
        ({"interfaces": [{"name": "eth0: {", "address": "10.0.0.2/24"}]}, "interfaces[0].name"),
        ({"interfaces": [{"name": "e", "address": f"10.0.0.{n}/24"} for n in (2, 3)]}, "twice"),
        ({"locale": "english"}, "locale"),
        ({"keyboard": "gb; id"}, "keyboard"),
        ({"timezone": "Europe/Madird"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"cmdline": ["quiet splash"]}, "cmdline[0]"),
        ({"cmdline": ["a=1\n"]}, "cmdline[0]"),
        ({"cmdline": ["init=/bin/sh"]}, "image's own"),
        ({"config": ["gpu_mem=16\n[pi4]"]}, "config[0]"),
        ({"config": ["include=other.txt"]}, "config[0]"),
        ({"config": ["gpu_mem=" + "1" * 98]}, "config[0]"),
        ({"packages": ["nfs-common; id"]}, "packages[0]"),
        ({"packages": ["--purge"]}, "packages[0]"),
        ({"commands": ["a\0b"]}, "commands[0]"),
        ({"commands": [" "]}, "commands[0]"),
    ],
)
def test_what_cannot_be_is_refused(keys: dict[str, Any], said: str) -> None:
    assert said in wrong(**keys)


def test_no_secret_is_in_a_message() -> None:
    message = wrong(user="ada", password="hunter2\n", wifi={"ssid": "lab", "country": "GB", "passphrase": "hunter3"})
    assert "hunter" not in message


def test_boards_may_not_share_names_or_addresses() -> None:
    one = {"hostname": "Pi1", "interfaces": [{"name": "eth0", "address": "10.0.0.2/24"}]}
    two = {"hostname": "pi1", "interfaces": [{"name": "eth0", "address": "10.0.0.2/16"}]}
    with pytest.raises(Several) as raised:
        decode_nodes({"a": one, "b": two}, "lab")
    assert "lab: a, b have the same hostname pi1" in raised.value.message
    assert "lab: a, b have the same address 10.0.0.2" in raised.value.message
    assert raised.value.exit_code == ExitCode.INVALID


def test_a_wrong_board_is_named() -> None:
    with pytest.raises(Misconfigured, match="lab: b: hostname"):
        decode_nodes({"a": {"hostname": "pi1"}, "b": {"hostname": ""}}, "lab")


@pytest.mark.parametrize("said", ["fe80::1%eth0\n[evil]\na=b", "fe80::1%eth0"])
def test_an_address_brings_nothing_else_into_a_file(said: str) -> None:
    fixed = {"name": "eth0", "address": "fd00::2/64"}
    assert "gateway" in wrong(interfaces=[{**fixed, "gateway": said}])
    assert "dns[0]" in wrong(interfaces=[{**fixed, "dns": [said]}])


@pytest.mark.parametrize("address", ["10.0.0.11/255.255.255.0", "10.0.0.11/0.0.0.255"])
def test_a_netmask_is_no_prefix(address: str) -> None:
    assert "is no address with a prefix" in wrong(interfaces=[{"name": "eth0", "address": address}])


@pytest.mark.parametrize(
    "keys",
    [
        {"wifi": {"ssid": "\ud800", "country": "GB", "passphrase": "correct horse"}},
        {"user": "ada", "password": "\ud800"},
        {"commands": ["\ud800"]},
    ],
)
def test_text_that_is_no_unicode_is_refused(keys: dict[str, Any]) -> None:
    assert wrong(**keys) == "lab: pi1: there is text in it that is no Unicode"
