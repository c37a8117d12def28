"""Credentials for a server: where they come from, and where they may go."""

from pathlib import Path

import pytest

from im_client.auth.server import credentials, safe_address
from infracore.errors import InfraError, InvalidUsage, Misconfigured, Unauthorised

IM = "id = im; type = InfrastructureManager; username = ana; password = 's;cret'\n"
CLOUD = "# clouds\nid = one; type = Dummy\n"


def private(path: Path, text: str, mode: int = 0o600) -> str:
    path.touch(mode)
    path.chmod(mode)
    path.write_text(text)
    return str(path)


def test_an_auth_file_is_sent_in_one_line(tmp_path: Path) -> None:
    found = credentials(private(tmp_path / "auth", IM + CLOUD), "", "")
    assert found.reveal() == IM.strip() + "\\n" + "id = one; type = Dummy"
    assert "s;cret" not in f"{found} {found!r}"


def test_a_token_alone_is_a_bearer_and_the_environment_wins(tmp_path: Path) -> None:
    file = private(tmp_path / "token", "from-file\n")
    assert credentials("", file, "").reveal() == "Bearer from-file"
    assert credentials("", file, "from-env").reveal() == "Bearer from-env"


def test_a_token_joins_the_clouds_of_an_auth_file(tmp_path: Path) -> None:
    found = credentials(private(tmp_path / "auth", CLOUD), "", "abc")
    assert found.reveal() == "type = InfrastructureManager; token = abc\\nid = one; type = Dummy"
    with pytest.raises(InvalidUsage, match="token too"):
        credentials(private(tmp_path / "both", IM), "", "abc")


def test_no_credentials_end_with_the_code_of_credentials() -> None:
    with pytest.raises(Unauthorised) as caught:
        credentials("", "", "")
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    "text", ["", "\n", "# only a remark\n", "type = \n", "sEcReT\n", "[1", '["sEcReT"]', "a\0b = sEcReT"]
)
def test_a_file_that_holds_none_is_refused_and_not_quoted(text: str, tmp_path: Path) -> None:
    with pytest.raises(InfraError) as caught:
        credentials(private(tmp_path / "auth", text), "", "")
    assert "sEcReT" not in str(caught.value)


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "\x00", "naïve"])
def test_a_token_that_no_header_holds_is_refused(token: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        credentials("", private(tmp_path / "token", token), "")
    assert token not in str(caught.value)


def test_files_that_everybody_can_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="open to others"):
        credentials(private(tmp_path / "auth", IM, 0o644), "", "")
    with pytest.raises(Misconfigured, match="not a regular file"):
        credentials(str(tmp_path), "", "")
    with pytest.raises(Misconfigured, match="cannot read"):
        credentials("", str(tmp_path / "nosuch"), "")


@pytest.mark.parametrize("url", ["http://im.example.org:8800", "http://192.0.2.7", "http://localhost.example.org"])
def test_without_tls_credentials_stay_on_this_computer_unless_it_is_said(url: str) -> None:
    with pytest.raises(Misconfigured, match="no TLS"):
        safe_address(url, "server", insecure_http=False)
    assert not safe_address(url, "server", insecure_http=True).is_tls


@pytest.mark.parametrize("url", ["http://127.0.0.1:8800", "http://[::1]:8800", "https://im.example.org"])
def test_tls_and_this_computer_need_no_word(url: str) -> None:
    assert str(safe_address(url, "server", insecure_http=False)).startswith(url)
