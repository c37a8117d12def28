"""A fleet is what its Ansible inventory says, read by Ansible itself."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from im_client.flash.fleet import Board, Storage, decode_fleet, laid_over, read_fleet
from im_client.flash.variables import parse_answers, parse_listing
from infracore.errors import InvalidUsage, Misconfigured, NotFound, Several, Unauthorised

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFUCFDHRPwvjYsTVRyGfCwhuNYqcBBLZ8Q2Cyk5F5YFo me"
PROGRAM = Path(sys.executable).with_name("ansible-inventory")


def test_a_host_becomes_a_board_with_the_defaults_under_its_own_keys() -> None:
    fleet = decode_fleet(
        {
            "pi-1": {
                "ansible_host": "10.0.0.11",
                "raspberry_pi_defaults": {"user": "ana", "authorized_keys": [KEY], "timezone": "UTC"},
                "raspberry_pi_node": {"timezone": "Europe/Madrid"},
                "raspberry_pi_image": "pi.img.xz",
                "raspberry_pi_image_sha256": "AB" * 32,
                "raspberry_pi_device": "/dev/sda",
                "raspberry_pi_serial": "10000000ABCDEF01",
                "raspberry_pi_mac": "DC-A6-32-01-02-03",
                "raspberry_pi_model": "4B 8GB",
                "raspberry_pi_storage": "usb",
                "raspberry_pi_power": {"kind": "poe", "port": 3},
            }
        },
        "hosts.yml",
        {"pi-1": ("pis",)},
    )
    (board,) = fleet.boards
    assert board.node.hostname == "pi-1"
    assert (board.node.user, board.node.timezone) == ("ana", "Europe/Madrid")
    assert board == Board(
        name="pi-1",
        node=board.node,
        image="pi.img.xz",
        image_sha256="ab" * 32,
        device="/dev/sda",
        serial="10000000abcdef01",
        mac="dc:a6:32:01:02:03",
        model="4B 8GB",
        storage=Storage.USB,
        power={"kind": "poe", "port": 3},
        address="10.0.0.11",
        groups=("pis",),
    )
    assert fleet.board("pi-1") is board


def test_a_host_without_our_variables_is_no_board() -> None:
    fleet = decode_fleet({"pi": {"raspberry_pi_device": "/dev/sda"}, "big": {"ansible_host": "10.0.0.1"}}, "hosts.yml")
    assert [board.name for board in fleet.boards] == ["pi"]
    with pytest.raises(NotFound, match=r"no board 'big' in hosts.yml") as caught:
        fleet.board("big")
    assert caught.value.hint == "there are: pi"
    with pytest.raises(InvalidUsage, match=r"no host of hosts.yml is a Raspberry Pi"):
        decode_fleet({"big": {}}, "hosts.yml")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"raspberry_pi_storage": "floppy"}, "hosts.yml: pi: raspberry_pi_storage: "),
        ({"raspberry_pi_image_sha256": "abc"}, "hosts.yml: pi: raspberry_pi_image_sha256: "),
        ({"raspberry_pi_device": "a\0b"}, "hosts.yml: pi: raspberry_pi_device: "),
        ({"raspberry_pi_image": "\ud800"}, "hosts.yml: pi: raspberry_pi_image: "),
        *(
            ({"raspberry_pi_model": "4B", "ansible_host": host}, "hosts.yml: pi: ansible_host: ")
            for host in ("*", "a b", "a\n@cert-authority * ssh-rsa AAAA", "-oProxyCommand=x", "a,b", "!a", "#a", "@a")
        ),
        ({"raspberry_pi_serial": "soup"}, "hosts.yml: pi: raspberry_pi_serial: "),
        ({"raspberry_pi_mac": "dc:a6"}, "hosts.yml: pi: raspberry_pi_mac: "),
        ({"raspberry_pi_device": ["/dev/sda"]}, "hosts.yml: pi: raspberry_pi_device: "),
        ({"raspberry_pi_node": "web"}, "hosts.yml: pi: raspberry_pi_node: "),
        ({"raspberry_pi_node": {"hostnme": "web"}}, "hosts.yml: pi: hostnme: "),
        ({"raspberry_pi_node": {"wifi": {"ssid": "home", "passphrase": "12345678"}}}, "country"),
    ],
)
def test_a_variable_that_does_not_fit_is_named(variables: dict[str, Any], said: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        decode_fleet({"pi": variables}, "hosts.yml")
    assert said in caught.value.message
    assert caught.value.exit_code == 2


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(Several) as caught:
        decode_fleet(
            {
                "a": {"raspberry_pi_serial": "0000000A", "raspberry_pi_node": {"hostname": "web"}},
                "b": {"raspberry_pi_serial": "0000000a", "raspberry_pi_node": {"hostname": "web"}},
                "c": {"raspberry_pi_storage": "floppy"},
            },
            "hosts.yml",
        )
    assert "c: raspberry_pi_storage" in caught.value.message
    assert "b: raspberry_pi_serial: 0000000a is also that of a" in caught.value.message
    assert "a, b have the same hostname web" in caught.value.message
    assert caught.value.exit_code == 2


def test_mappings_are_laid_over_each_other_and_lists_are_replaced() -> None:
    lower = {"wifi": {"ssid": "home", "country": "ES"}, "packages": ["vim"], "user": "pi"}
    upper = {"wifi": {"ssid": "lab"}, "packages": ["git"]}
    assert laid_over(upper, lower) == {
        "wifi": {"ssid": "lab", "country": "ES"},
        "packages": ["git"],
        "user": "pi",
    }
    assert lower["wifi"] == {"ssid": "home", "country": "ES"}


def test_groups_hold_their_childrens_hosts() -> None:
    listing = {
        "_meta": {"hostvars": {"pi": {"x": {"__ansible_unsafe": "{{ no template }}"}, "y": 1}}},
        "all": {"children": ["ungrouped", "cluster"]},
        "cluster": {"children": ["pis"]},
        "pis": {"hosts": ["pi"]},
        "others": {"hosts": ["big"]},
    }
    hosts = parse_listing(json.dumps(listing), ["x"])
    assert {host.name: host.groups for host in hosts} == {"pi": ("cluster", "pis"), "big": ("others",)}
    assert hosts[0].variables == {"x": "{{ no template }}"}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"all": 3}'])
def test_what_is_no_listing_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match="no inventory"):
        parse_listing(text, ["x"])


def test_answers_are_told_apart_whatever_their_text_holds() -> None:
    said = 'pi-1 | SUCCESS => {\n    "msg": "a\\npi-9 | SUCCESS => {"\n}\npi-2 | FAILED! => {"msg": "no"}\n'
    assert list(parse_answers(said)) == [
        ("pi-1", True, {"msg": "a\npi-9 | SUCCESS => {"}),
        ("pi-2", False, {"msg": "no"}),
    ]


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    folder = tmp_path / "inventory"
    (folder / "group_vars").mkdir(parents=True)
    (folder / "hosts.yml").write_text(
        "pis: {hosts: {'pi-[1:3]': }}\n"
        "servers: {hosts: {big: {ansible_host: 10.0.0.1}}}\n"
        "cluster: {children: {pis: , servers: }}\n"
    )
    (folder / "group_vars" / "pis.yml").write_text(
        'raspberry_pi_image: "images/{{ image_name }}"\n'
        "image_name: pi.img.xz\n"
        "raspberry_pi_defaults: {user: ana, authorized_keys: [\"{{ lookup('file', '../key.pub') }}\"]}\n"
        'raspberry_pi_node: {hostname: "{{ inventory_hostname }}-lab"}\n'
    )
    (tmp_path / "key.pub").write_text(KEY + "\n")
    return folder


@pytest.mark.ansible
def test_ansible_resolves_ranges_groups_and_templates(inventory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(inventory)
    fleet = read_fleet(inventory, program=PROGRAM)
    assert [board.node.hostname for board in fleet.boards] == ["pi-1-lab", "pi-2-lab", "pi-3-lab"]
    assert {board.image for board in fleet.boards} == {"images/pi.img.xz"}
    assert fleet.boards[0].node.authorized_keys == (KEY,)
    assert fleet.boards[0].groups == ("cluster", "pis")


@pytest.mark.ansible
def test_a_template_that_fails_is_named_with_its_host(inventory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (inventory / "host_vars").mkdir()
    (inventory / "host_vars" / "pi-2.yml").write_text('raspberry_pi_device: "{{ nowhere }}"\n')
    monkeypatch.chdir(inventory)
    with pytest.raises(Misconfigured, match=r"pi-2: .*nowhere"):
        read_fleet(inventory, program=PROGRAM)


@pytest.mark.ansible
def test_an_encrypted_value_is_opened_or_said_to_need_its_password(
    inventory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(inventory)
    password = tmp_path / "password"
    password.write_text("open sesame\n")
    words = [PROGRAM.with_name("ansible-vault"), "encrypt_string", "--vault-password-file", password, "correct horse"]
    sealed = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout
    (inventory / "host_vars").mkdir()
    (inventory / "host_vars" / "pi-1.yml").write_text(
        "raspberry_pi_node:\n  wifi:\n    ssid: home\n    country: ES\n    passphrase: " + sealed
    )
    with pytest.raises(Unauthorised) as caught:
        read_fleet(inventory, program=PROGRAM)
    assert "ANSIBLE_VAULT_PASSWORD_FILE" in caught.value.hint
    assert caught.value.exit_code == 5
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(password))
    wifi = read_fleet(inventory, program=PROGRAM).board("pi-1").node.wifi
    assert wifi is not None
    assert wifi.passphrase is not None
    assert wifi.passphrase.reveal() == "correct horse"


@pytest.mark.ansible
def test_what_ansible_cannot_read_is_said_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(InvalidUsage, match="there is no inventory"):
        read_fleet(tmp_path / "absent", program=PROGRAM)
    empty = tmp_path / "empty.yml"
    empty.write_text("all: {hosts: {big: }}\n")
    with pytest.raises(InvalidUsage, match=r"no host of .*empty.yml is a Raspberry Pi"):
        read_fleet(empty, program=PROGRAM)
