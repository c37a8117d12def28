"""Lines of callers: signed with the line's keys only, and sent to where they may lead."""

from pathlib import Path

import pytest

from im_client.auth.authfile import parse_auth
from im_client.auth.credentials import Credential
from im_client.providers.cloud.lent import Lent
from im_client.providers.ec2.account import account_of
from im_client.providers.ec2.client import Client
from im_client.providers.ec2.settings import Ec2Settings
from im_client.providers.registry import provider as open_provider
from infracore.errors import Unauthorised
from infracore.secrets import Secret
from tests.im_client.providers.ec2.conftest import Site

HERE = Lent(("127.0.0.1",))


def line(**words: str) -> Credential:
    return Credential("mine", "EC2", {key: Secret(value) for key, value in words.items()})


def signed_with(client: Client) -> tuple[str, str, str | None]:
    """Return what botocore signs with."""
    found = client._client()._request_signer._credentials.get_frozen_credentials()
    return found.access_key, found.secret_key, found.token


@pytest.fixture(autouse=True)
def of_the_server(aws_keys: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys, a profile and an endpoint where AWS's own chain finds them."""
    (tmp_path / "config").write_text("[profile ours]\nregion = eu-south-1\nendpoint_url = http://127.0.0.1:9\n")
    (tmp_path / "credentials").write_text("[ours]\naws_access_key_id = OURS\naws_secret_access_key = OURS\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "ours")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-the-server")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")


@pytest.mark.parametrize("text", ["", "; username = AKIA", "; password = x", "; token = x"])
def test_a_line_without_keys_is_unauthorised(text: str) -> None:
    with pytest.raises(Unauthorised, match="mine of the auth file lacks username or password"):
        open_provider("ec2", {"region": "x"}, parse_auth(f"id = mine; type = EC2; region = x{text}"), Lent())
    with pytest.raises(Unauthorised):
        open_provider("ec2", {"region": "x"}, (), Lent())


def test_a_line_is_completed_from_nothing_of_the_servers(site: Site) -> None:
    own = Ec2Settings(endpoint=site.proxy.url)
    account = account_of(own, line(username="MINE", password="secret"), lent=HERE)
    assert account.region == "us-east-1"  # and not of AWS_REGION
    client = Client(account, 5.0)
    assert signed_with(client) == ("MINE", "secret", None)
    assert client.ask("describe_regions")["Regions"]
    client.close()


def test_the_servers_configuration_names_no_other_endpoint() -> None:
    account = account_of(Ec2Settings(region="eu-west-1"), line(username="MINE", password="secret"), lent=Lent())
    client = Client(account, 5.0)
    assert client._client().meta.endpoint_url == "https://ec2.eu-west-1.amazonaws.com"
    client.close()


def test_a_line_leads_to_allowed_hosts_only(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Ec2Settings()
    mine = line(username="MINE", password="secret", host=site.proxy.url)
    with pytest.raises(Unauthorised, match="not a public address"):
        account_of(own, mine, lent=Lent())
    client = Client(account_of(own, mine, lent=HERE), 5.0)
    assert client.ask("describe_regions")["Regions"]
    monkeypatch.setattr("im_client.providers.cloud.lent.addresses_of", lambda host, port: ["10.0.0.1"])
    named = line(username="MINE", password="secret", host=site.proxy.url.replace("127.0.0.1", "localhost"))
    client.close()
    with pytest.raises(Unauthorised):
        account_of(own, named, lent=HERE)


def test_a_name_that_leads_elsewhere_later_is_sent_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    where = {"now": "1.1.1.1"}
    monkeypatch.setattr("im_client.providers.cloud.lent.addresses_of", lambda host, port: [where["now"]])
    url = site.proxy.url.replace("127.0.0.1", "localhost")
    account = account_of(Ec2Settings(), line(username="MINE", password="secret", host=url), lent=Lent())
    where["now"] = "127.0.0.1"
    client = Client(account, 5.0)
    with pytest.raises(Unauthorised, match="localhost is not a public address"):
        client.ask("describe_regions")
    client.close()
