import subprocess
from pathlib import Path

import pytest

from im_client.remote.access import Access
from im_client.remote.hostkeys import (
    find_known_host,
    known_hosts,
    known_hosts_name,
    new_host_key,
    new_key_pair,
    public_of,
)


def test_ssh_keygen_derives_our_public_key_from_our_private_key(tmp_path: Path) -> None:
    public, private = new_key_pair("me@here")
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(private.reveal())
    said = subprocess.run(["ssh-keygen", "-y", "-f", str(file)], capture_output=True, text=True, check=True).stdout
    assert public_of(said) == public_of(public)
    assert public.endswith(" me@here")


def test_every_key_is_another() -> None:
    assert new_host_key().public != new_host_key().public


@pytest.mark.parametrize(
    ("address", "port", "name"),
    [
        ("10.0.0.1", 22, "10.0.0.1"),
        ("10.0.0.1", 2222, "[10.0.0.1]:2222"),
        ("Node.Example", 22, "node.example"),
        ("2001:DB8::0001", 22, "2001:db8::1"),
    ],
)
def test_a_host_is_named_as_known_hosts_has_it(address: str, port: int, name: str) -> None:
    assert known_hosts_name(address, port) == name


def test_known_hosts_has_the_jump_host_too_and_no_line_twice() -> None:
    key, jump_key = new_host_key().public, new_host_key().public
    jump = Access("10.0.0.9", port=2200, host_key=jump_key)
    text = known_hosts([Access("10.0.0.1", host_key=key, jump=jump), Access("10.0.0.1", host_key=key, jump=jump)])
    assert text.splitlines() == [f"10.0.0.1 {key}", f"[10.0.0.9]:2200 {jump_key}"]


@pytest.mark.parametrize("hashed", [False, True])
def test_a_key_is_found_in_a_known_hosts_file_hashed_or_not(tmp_path: Path, hashed: bool) -> None:
    key, other = new_host_key().public, new_host_key().public
    file = tmp_path / "known_hosts"
    file.write_text(
        f"# mine\n[10.0.0.1]:22222 {other}\n@revoked node.example {other}\nnode.example,10.0.0.1 {key} me\n"
    )
    if hashed:
        subprocess.run(["ssh-keygen", "-H", "-f", str(file)], capture_output=True, check=True)
    text = file.read_text()
    assert ("node.example" in text.replace("@revoked node.example", "")) is not hashed
    assert find_known_host(text, "10.0.0.1", 22) == key
    assert find_known_host(text, "10.0.0.1", 22222) == other
    assert find_known_host(text, "10.0.0.2", 22) is None


def test_the_strongest_kind_of_key_is_taken() -> None:
    text = "h ssh-rsa AAAAB3Nz\nh ssh-ed25519 AAAAC3Nz\n"
    assert find_known_host(text, "h", 22) == "ssh-ed25519 AAAAC3Nz"


def test_options_and_comments_are_no_part_of_a_key() -> None:
    assert public_of('from="10.0.0.0/8",no-pty ssh-ed25519 AAAAC3 me') == "ssh-ed25519 AAAAC3"
    with pytest.raises(ValueError, match="OpenSSH public key"):
        public_of("hello there")
