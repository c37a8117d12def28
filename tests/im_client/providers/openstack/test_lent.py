"""Lines of callers: with nothing of the server's, and to where they may lead."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from im_client.auth.credentials import Credential
from im_client.plan.model import Spec, SpecVolume
from im_client.providers.base import Provider, Severity
from im_client.providers.cloud.lent import Lent
from im_client.providers.registry import provider as open_provider
from infracore.errors import Misconfigured, Unauthorised, Unsupported
from infracore.secrets import Secret
from tests.im_client.providers.openstack.conftest import Opened, fields, request
from tests.im_client.providers.openstack.small_cloud import PASSWORD, SmallCloud

HERE = Lent(("127.0.0.1",))


@pytest.fixture(autouse=True)
def of_the_server(cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The server's own login, in all places where openstacksdk looks for one."""
    own = {"auth_url": f"{cloud.url}/identity/v3", "username": "demo", "password": PASSWORD, "project_name": "demo"}
    for key, value in own.items():
        monkeypatch.setenv(f"OS_{key.upper()}", value)
    monkeypatch.setenv("OS_USER_DOMAIN_NAME", "Default")
    monkeypatch.setenv("OS_PROJECT_DOMAIN_NAME", "Default")
    lines = "".join(f"      {key}: {value}\n" for key, value in own.items())
    (tmp_path / "clouds.yaml").write_text(
        f"clouds:\n  ours:\n    auth:\n{lines}      user_domain_name: Default\n      project_domain_name: Default\n"
        "    auth_type: v3password\n    region_name: One\n"
    )
    (tmp_path / "token").write_text("a-token-of-the-server")
    (tmp_path / "token").chmod(0o600)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))


@pytest.fixture
def ours(of_the_server: None) -> Iterator[Provider]:
    made = open_provider("openstack", {"cloud": "ours", "request_s": 5.0, "reachable": False})
    yield made
    made.close()


def line(cloud: SmallCloud, **other: str) -> tuple[Credential, ...]:
    said = {**fields(cloud), **{key: Secret(value) for key, value in other.items()}}
    return (Credential("mine", "OpenStack", {key: value for key, value in said.items() if value}),)


def severities(provider: Provider) -> set[Severity]:
    try:
        return {one.severity for one in provider.check()}
    finally:
        provider.close()


def test_the_server_itself_logs_in_by_its_own(ours: Provider) -> None:
    assert [one.text for one in ours.check() if one.severity is not Severity.OK] == []


def test_a_wrong_password_of_a_line_is_not_made_right_by_clouds_yaml(cloud: SmallCloud) -> None:
    settings = {"cloud": "ours", "request_s": 5.0, "reachable": False}
    lent = open_provider("openstack", settings, line(cloud, password="guessed"), HERE)
    assert Severity.ERROR in severities(lent)
    assert severities(open_provider("openstack", settings, line(cloud), HERE)) == {Severity.OK}


@pytest.mark.parametrize("more", [{}, {"auth_version": "3.x_oidc_access_token"}, {"auth_version": "3.x_appcred"}])
def test_a_line_without_a_password_is_unauthorised(cloud: SmallCloud, tmp_path: Path, more: dict[str, str]) -> None:
    settings = {"token_file": str(tmp_path / "token"), "cloud": "ours"}
    with pytest.raises(Unauthorised, match="mine has no password"):
        open_provider("openstack", settings, line(cloud, password="", **more), HERE)
    with pytest.raises(Unauthorised, match="no credentials"):
        open_provider("openstack", {"cloud": "ours"}, (), HERE)
    assert cloud.asked == []


def test_the_token_file_takes_no_lines_place(cloud: SmallCloud, tmp_path: Path) -> None:
    more = {"auth_version": "3.x_oidc_access_token", "password": "a-token-of-the-caller"}
    settings = {"token_file": str(tmp_path / "no-such-file"), "request_s": 5.0}
    lent = open_provider("openstack", settings, line(cloud, **more), HERE)
    assert severities(lent) == {Severity.ERROR}
    path = "GET /identity/v3/OS-FEDERATION/identity_providers/demo/protocols/demo/auth"
    assert cloud.count(path) + cloud.count(path.replace("GET", "POST")) > 0


def test_a_host_of_the_servers_own_network_is_refused_at_once(cloud: SmallCloud) -> None:
    with pytest.raises(Unauthorised, match=r"127\.0\.0\.1 is not a public address"):
        open_provider("openstack", {}, line(cloud), Lent())
    assert cloud.asked == []


def test_a_catalog_leads_to_no_other_place(cloud: SmallCloud) -> None:
    cloud.elsewhere = cloud.url.replace("127.0.0.1", "127.0.0.2") + "/compute/v2.1"
    lent = open_provider("openstack", {"request_s": 5.0, "attempts": 1}, line(cloud), HERE)
    with pytest.raises(Unauthorised, match=r"127\.0\.0\.2"):
        lent.prepare(lambda _: None)
    lent.close()


def test_a_catalog_without_block_storage_means_no_volumes(cloud: SmallCloud, opened: Opened) -> None:
    cloud.has_volumes = False
    provider = opened()
    assert {(one.check, one.severity) for one in provider.check()} == {
        ("login", Severity.OK),
        ("services", Severity.WARNING),
    }
    provider.create(request())
    spec = Spec(num_cpus=1, os_distribution="debian", volumes=(SpecVolume("scratch", 2**30),))
    with pytest.raises(Unsupported, match="no block storage"):
        provider.create(request(spec, name="other"))
    assert len(cloud.servers) == 1


def test_a_name_with_a_colon_is_asked_for_as_it_is(cloud: SmallCloud, opened: Opened) -> None:
    made = cloud.image("debian:12", os_distro="debian", os_version="12")
    provider = opened()
    provider.create(request(Spec(num_cpus=1, image="debian:12")))
    assert [one["imageRef"] for one in cloud.servers.values()] == [made]


def test_misconfigured_hosts_are_named(cloud: SmallCloud) -> None:
    with pytest.raises(Misconfigured, match="host"):
        open_provider("openstack", {}, line(cloud, host="keystone"), HERE)
