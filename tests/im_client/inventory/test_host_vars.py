"""One variable is set, and nothing else of the file changes."""

from pathlib import Path

import pytest

from im_client.inventory.host_vars import set_variable
from infracore.errors import InvalidUsage, Misconfigured


def written(tmp_path: Path, text: str, value: str = "10.0.0.7") -> str:
    path = tmp_path / "host_vars" / "pi-1.yml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode())
    set_variable(tmp_path / "hosts.yaml", "pi-1", "ansible_host", value)
    return path.read_bytes().decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "---\nansible_host: 10.0.0.7\n"),
        ("# mine\n", "# mine\nansible_host: 10.0.0.7\n"),
        ("---\na: 1 # one\n", "---\na: 1 # one\nansible_host: 10.0.0.7\n"),
        ("a: 1", "a: 1\nansible_host: 10.0.0.7\n"),
        (
            "ansible_host:   1.2.3.4   # old\nb: [1, 2]\n",
            "ansible_host:   10.0.0.7   # old\nb: [1, 2]\n",
        ),
        ("ansible_host: '1.2.3.4'\n", "ansible_host: 10.0.0.7\n"),
        ("ansible_host:\nb: 1\n", "ansible_host: 10.0.0.7\nb: 1\n"),
        ("b:\n  ansible_host: 1.1.1.1\n", "b:\n  ansible_host: 1.1.1.1\nansible_host: 10.0.0.7\n"),
        (
            "k: !vault |\n  $ANSIBLE_VAULT;1\n  31\n",
            "k: !vault |\n  $ANSIBLE_VAULT;1\n  31\nansible_host: 10.0.0.7\n",
        ),
        ("a: 1\r\nansible_host: x\r\n", "a: 1\r\nansible_host: 10.0.0.7\r\n"),
    ],
)
def test_the_rest_of_a_file_stays(tmp_path: Path, before: str, after: str) -> None:
    assert written(tmp_path, before) == after


def test_an_address_of_ipv6_is_quoted(tmp_path: Path) -> None:
    assert written(tmp_path, "a: 1\n", "fe80::1%eth0") == 'a: 1\nansible_host: "fe80::1%eth0"\n'


@pytest.mark.parametrize(
    "text",
    [
        "{a: 1}\n",
        "- a\n",
        "$ANSIBLE_VAULT;1.1;AES256\n3136\n",
        "ansible_host: |\n  x\n",
        "ansible_host: {a: 1}\n",
        "a: 1\n...\n",
        "a: &x 1\nansible_host: &y q\nb: *y\n",
        "a: [\n",
    ],
)
def test_a_file_that_cannot_be_edited_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        written(tmp_path, text)
    assert "pi-1.yml" in caught.value.message
    assert (tmp_path / "host_vars" / "pi-1.yml").read_text() == text
    assert [path.name for path in (tmp_path / "host_vars").iterdir()] == ["pi-1.yml"]


def test_what_is_so_already_is_not_written(tmp_path: Path) -> None:
    first = set_variable(tmp_path, "pi-1", "ansible_host", "10.0.0.7")
    inode = first.path.stat().st_ino
    again = set_variable(tmp_path, "pi-1", "ansible_host", "10.0.0.7")
    assert (first.is_new, again.is_new) == (True, False)
    assert again.path.stat().st_ino == inode


def test_rights_stay_and_a_link_leads_on(tmp_path: Path) -> None:
    real = tmp_path / "real.yml"
    real.write_text("a: 1\n")
    real.chmod(0o640)
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / "pi-1.yaml").symlink_to(real)
    set_variable(tmp_path, "pi-1", "ansible_host", "10.0.0.7")
    assert (tmp_path / "host_vars" / "pi-1.yaml").is_symlink()
    assert real.read_text() == "a: 1\nansible_host: 10.0.0.7\n"
    assert real.stat().st_mode & 0o777 == 0o640


def test_in_a_folder_of_a_host_the_file_that_says_it_is_edited(tmp_path: Path) -> None:
    folder = tmp_path / "host_vars" / "pi-1"
    folder.mkdir(parents=True)
    (folder / "main.yml").write_text("a: 1\n")
    assert set_variable(tmp_path, "pi-1", "ansible_host", "10.0.0.7").path == folder / "address.yml"
    assert set_variable(tmp_path, "pi-1", "a", "2").path == folder / "main.yml"


@pytest.mark.parametrize("host", ["../x", "", "a/b", ".."])
def test_a_host_whose_name_is_no_file_name_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(InvalidUsage):
        set_variable(tmp_path, host, "ansible_host", "10.0.0.7")
