"""Lines of callers lead to where they may only; what the settings say leads anywhere."""

from pathlib import Path

import pytest
import requests

from im_client.providers.cloud.lent import Lent
from im_client.providers.registry import provider as open_provider
from infracore.errors import Misconfigured, Unauthorised
from tests.contracts.libcloud_site import credential, settings
from tests.rigs.small_clouds import SmallApi

OF_THE_LINE = {"address": ""}
_WAYS = pytest.mark.parametrize("kind", ["cloudstack"])


def test_an_address_of_the_settings_is_the_operators_word(kind: str, cloud: SmallApi) -> None:
    lent = open_provider(kind, settings(kind, cloud), (credential(kind, cloud),), Lent(("*.example.org",)))
    assert all(one.severity == "ok" for one in lent.check()), lent.check()
    lent.close()  # type: ignore[attr-defined]


def test_a_line_without_secrets_is_one_clear_error(kind: str, cloud: SmallApi) -> None:
    bare = credential(kind, cloud, token="", password="", username="", secret="")
    with pytest.raises((Unauthorised, Misconfigured), match="auth file's line for"):
        open_provider(kind, settings(kind, cloud), (bare,), Lent())
    with pytest.raises(Unauthorised):
        open_provider(kind, settings(kind, cloud), (), Lent())


@_WAYS
def test_an_address_of_a_line_leads_to_allowed_hosts_only(kind: str, cloud: SmallApi) -> None:
    own, mine = settings(kind, cloud, **OF_THE_LINE), (credential(kind, cloud),)
    with pytest.raises(Unauthorised, match=r"127\.0\.0\.1 is not a public address"):
        open_provider(kind, own, mine, Lent())
    lent = open_provider(kind, own, mine, Lent(("127.0.0.1",)))
    assert all(one.severity == "ok" for one in lent.check()), lent.check()
    lent.close()  # type: ignore[attr-defined]


@_WAYS
def test_a_name_that_leads_elsewhere_later_is_sent_nothing(
    kind: str, cloud: SmallApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("im_client.providers.cloud.lent.addresses_of", lambda host, port: ["1.1.1.1"])
    mine = (credential(kind, cloud, host=cloud.url.replace("127.0.0.1", "localhost")),)
    lent = open_provider(kind, settings(kind, cloud, **OF_THE_LINE), mine, Lent())
    assert "not a public address" in lent.check()[0].text
    assert cloud.asked == []
    lent.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["gce"])
def test_a_path_in_a_line_is_not_read(kind: str, cloud: SmallApi, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text('{"private_key": "-----BEGIN"}')
    mine = (credential(kind, cloud, password=str(tmp_path / "key.json")),)
    with pytest.raises(Misconfigured, match="no private key"):
        open_provider(kind, settings(kind, cloud), mine, Lent())


@pytest.mark.parametrize("kind", ["azure", "digitalocean", "linode", "vultr"])
def test_a_clouds_own_host_is_no_lines_and_needs_no_pattern(
    kind: str, cloud: SmallApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        looked.append(host)
        return ["::1"]

    monkeypatch.setattr("im_client.providers.cloud.lent.addresses_of", resolve)
    own = settings(kind, cloud, **OF_THE_LINE)
    lent = open_provider(kind, own, (credential(kind, cloud),), Lent(("*.example.org",)))
    with lent._cloud._pool.driver() as driver:  # type: ignore[attr-defined]
        wire = driver.connection
        wire.connect()
        session = wire.connection.session
        with pytest.raises(Unauthorised, match="none of the hosts"):
            session.get("https://elsewhere.example.com/")
        session.proxies = {"https": cloud.url}  # which leads nowhere: nobody outside is asked
        with pytest.raises(requests.exceptions.ProxyError):
            session.get(f"https://{wire.host}/")
    assert looked == ["elsewhere.example.com"]
    lent.close()  # type: ignore[attr-defined]
