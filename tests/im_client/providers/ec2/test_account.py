"""What cannot be an account is refused before anything is sent, and no key is shown."""

import pytest

from im_client.auth.credentials import Credential
from im_client.providers.ec2.account import Account, account_of
from im_client.providers.ec2.client import Client
from im_client.providers.ec2.settings import Ec2Settings
from infracore.errors import Misconfigured, Unauthorised
from infracore.secrets import Secret


def line(**words: str) -> Credential:
    fields = {"username": "KEY", "password": "secret", **words}
    return Credential("mine", "EC2", {key: Secret(value) for key, value in fields.items()})


@pytest.mark.parametrize("field", ["username", "password", "token"])
@pytest.mark.parametrize("odd", ["HIDDEN\n", "HID DEN", "HIDDEN\x00", "HIDDEN\u00e9", " HIDDEN"])
def test_a_key_with_odd_letters_is_refused_and_not_shown(field: str, odd: str) -> None:
    with pytest.raises(Unauthorised, match=f"the {field} of the line mine") as caught:
        account_of(Ec2Settings(), line(**{field: odd}), {})
    assert "HID" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://[::1", "http://[x]", "https://h:99999", "https://h:0", "http://", "https:///path", "https://a b",
        "https://h\u00e9", "ftp://h", "https://h/?x=1", "h:port", "https://h\n", "://",
    ],
)  # fmt: skip
def test_an_endpoint_that_is_no_address_is_refused(endpoint: str) -> None:
    with pytest.raises(Misconfigured, match="is no http address"):
        account_of(Ec2Settings(endpoint=endpoint), line(), {})
    with pytest.raises(Misconfigured, match="is no http address"):
        account_of(Ec2Settings(), line(host=endpoint), {})


def test_a_password_in_an_endpoint_is_refused_and_not_shown() -> None:
    with pytest.raises(Misconfigured) as caught:
        account_of(Ec2Settings(endpoint="https://user:HIDDEN@h"), line(), {})
    assert "HIDDEN" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("region", ["us east", "-x", "x-", "12", "a/b", "x" * 64, "r\n", "\u00e9"])
def test_a_region_that_is_none_is_refused(region: str) -> None:
    with pytest.raises(Misconfigured, match="is no region of EC2"):
        account_of(Ec2Settings(region=region), line(), {})


@pytest.mark.parametrize(
    ("said", "endpoint"),
    [
        ("", ""),
        ("h", "https://h"),
        ("h:8773/services/Cloud", "https://h:8773/services/Cloud"),
        ("http://[::1]:80/", "http://[::1]:80"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_an_address_is_taken(said: str, endpoint: str) -> None:
    assert account_of(Ec2Settings(endpoint=said, region="us-gov-west-1"), line(), {}).endpoint == endpoint


@pytest.mark.usefixtures("aws_keys")
@pytest.mark.parametrize("endpoint", ["http://h:99999", "http://[::1", "no address"])
def test_an_endpoint_of_awss_own_configuration_that_is_none_is_said_to_be_so(
    monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(Misconfigured, match="none that can be asked"):
        Client(Account("us-east-1", ""), 5.0).ask("describe_regions")


@pytest.mark.usefixtures("aws_keys")
def test_a_token_of_the_environment_with_odd_letters_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "HID\nDEN")
    with pytest.raises(Misconfigured, match="cannot be sent") as caught:
        Client(Account("us-east-1", "http://127.0.0.1:9"), 5.0).ask("describe_regions")
    assert "HID" not in caught.value.message + caught.value.hint
