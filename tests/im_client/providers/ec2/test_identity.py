"""Which place a provider says it asks: another region, endpoint or configuration is another place."""

from pathlib import Path

import pytest

from im_client.providers.ec2.account import Account
from im_client.providers.ec2.client import Client
from infracore.errors import InfraError
from infracore.secrets import Secret


def identity(region: str, endpoint: str = "") -> str:
    client = Client(Account(region, endpoint, "testing", Secret("the-secret")), 5.0)
    try:
        return client.identity
    finally:
        client.close()


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


def test_it_tells_regions_and_endpoints_apart_and_no_secret() -> None:
    pytest.importorskip("boto3")
    own = "http://127.0.0.1:9"
    told = [identity("us-east-1"), identity("eu-west-1"), identity("us-east-1", own), identity("eu-west-1", own)]
    assert len(set(told)) == 4
    assert identity("us-east-1", own) == "ec2 http://127.0.0.1:9 us-east-1"
    assert not any("testing" in one or "secret" in one for one in told)


def test_a_region_or_endpoint_of_awss_own_configuration_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("boto3")
    (tmp_path / "config").write_text("[default]\nregion = eu-west-1\n")
    assert identity("") == identity("eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", "http://127.0.0.1:9/")
    assert identity("") == "ec2 http://127.0.0.1:9 eu-west-1"


def test_without_a_region_there_is_no_place() -> None:
    pytest.importorskip("boto3")
    with pytest.raises(InfraError, match="region"):
        identity("")
