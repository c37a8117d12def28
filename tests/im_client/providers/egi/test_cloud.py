"""The adapter and the provider: logging in for a VO at a site, tokens that end, images under the registry's names."""

from collections.abc import Mapping

import pytest

from im_client.auth.authfile import parse_auth
from im_client.auth.credentials import Credential
from im_client.plan.model import Spec, SpecInterface
from im_client.providers.base import Severity
from im_client.providers.cloud.model import ImageQuery
from im_client.providers.egi import open_provider, site_names
from im_client.providers.egi.account import open_account
from im_client.providers.egi.cloud import EgiCloud, image_in_glance
from im_client.providers.egi.provider import EgiProvider
from im_client.providers.egi.settings import EgiSettings
from im_client.providers.registry import cloud_of, decode_settings
from infracore.clock import SystemClock
from infracore.errors import InfraError, Misconfigured, NotFound, Unauthorised, Unsupported
from tests.im_client.providers.openstack.small_cloud import SmallCloud
from tests.rigs.egi import CLIENT, PROJECT, VO, ZONE, Egi


def of(services: Egi, **more: str) -> dict[str, str]:
    """Return settings whose services are those of the rig."""
    return {"information": f"{services.base}/is", "dns": services.base, "issuer": services.issuer.url, **more}


def line(token: str, more: str = "", kind: str = "EGI", host: str = "RIG-ONE") -> tuple[Credential, ...]:
    return parse_auth(f"id = egi; type = {kind}; host = {host}; vo = {VO}; token = {token}; {more}")


def opened(
    services: Egi,
    credentials: tuple[Credential, ...] | None = None,
    environ: Mapping[str, str] | None = None,
    **more: str,
) -> EgiCloud:
    own = decode_settings("egi", of(services, **more), EgiSettings)
    one = (line(services.token()) if credentials is None else credentials) or (None,)
    return EgiCloud(open_account(own, one[0], environ or {}, SystemClock()), own, SystemClock())


def test_a_login_is_for_the_project_of_the_vo(services: Egi) -> None:
    made = opened(services)
    texts = {one.check: (one.severity, one.text) for one in made.check()}
    assert texts["site"] == (Severity.OK, f"RIG-ONE ({services.keystone}), project {PROJECT}")
    assert texts["VO"] == (Severity.OK, f"a member of {VO}")
    assert texts["access token"][1].startswith("of alice@egi.eu, for ")
    assert texts["login"][1].endswith(f"project {PROJECT}")
    made.close()


def test_a_token_that_has_ended_is_replaced_by_one_of_the_refresh_token(services: Egi) -> None:
    old = services.token(life_s=-60)
    made = opened(services, line(old, f"refresh_token = first-refresh-token; client_id = {CLIENT}"))
    assert made.images(ImageQuery(name="alma:9"))
    made.close()


def test_a_token_that_the_site_refuses_is_replaced_once(services: Egi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OIDC_ACCESS_TOKEN", services.token("bob@egi.eu"))
    stranger = services.issuer.token(life_s=3600).rpartition(".")[0] + ".c2lnbmF0dXJl"
    provider = open_provider(of(services), line(stranger))
    assert isinstance(provider, EgiProvider)
    assert provider._image(Spec(image="alma:9")).name == "alma:9"
    provider.close()


def test_a_token_that_ends_and_cannot_be_replaced_says_what_to_do(services: Egi) -> None:
    provider = open_provider(of(services), line(services.token(life_s=-300)))
    site, found = provider.check()
    assert site.severity is Severity.OK
    assert found.severity is Severity.ERROR
    assert "the token of the line egi of the auth file expired 5 min ago" in found.text
    assert "oidc-agent" in found.remedy
    provider.close()


def test_a_token_of_another_vo_is_refused_before_the_site_is_asked(services: Egi) -> None:
    made = opened(services, line(services.token(vos=("vo.other.example",))))
    with pytest.raises(Unauthorised, match=r"alice@egi\.eu is no member of the VO vo\.rig\.example, but of: vo\.other"):
        made.sizes()
    assert made.check()[-1].severity is Severity.ERROR
    assert not any(path.startswith("/keystone") for path in services.asked)


def test_a_token_without_claims_is_judged_by_userinfo(services: Egi, monkeypatch: pytest.MonkeyPatch) -> None:
    made = opened(services)
    monkeypatch.setattr("im_client.auth.claims._ENTITLEMENTS", ("entitlement_nowhere",))
    found = {one.check: one for one in made.check()}
    assert found["VO"].severity is Severity.WARNING
    assert any(path.endswith("/userinfo") for path in services.asked)
    made.close()


@pytest.mark.parametrize(
    ("auth", "settings", "word"),
    [
        ("id = egi; type = EGI; host = S; token = t", {}, "has no vo"),
        ("id = egi; type = EGI; vo = v; token = t", {}, "has no host"),
        ("id = egi; type = EGI; vo = v; host = s; refresh_token = sEcReT", {}, "client"),
        ("id = egi; type = EGI; vo = v; host = s; dns_secrets = sEcReT", {}, "dns_secrets"),
        ("id = egi; type = EGI; vo = v; host = s", {"issuer": "http://aai.egi.eu"}, "no TLS"),
        ("id = egi; type = EGI; vo = v; host = s", {"dns": "ftp://x"}, "dns"),
        ("id = egi; type = EGI; vo = v; host = s", {"infromation": "x"}, "infromation"),
    ],
)
def test_what_is_missing_or_wrong_is_named_at_once(auth: str, settings: dict[str, str], word: str) -> None:
    with pytest.raises(Misconfigured, match=word) as caught:
        open_provider(settings, parse_auth(auth))
    assert "sEcReT" not in caught.value.message


def test_without_a_line_the_environment_counts(services: Egi) -> None:
    environ = {"EGI_SITE": "RIG-ONE", "EGI_VO": VO, "OIDC_ACCESS_TOKEN": services.token()}
    made = opened(services, (), environ)
    assert {one.severity for one in made.check()} == {Severity.OK}
    made.close()
    with pytest.raises(Unauthorised, match="no credentials for EGI"):
        open_provider({}, ())


def test_an_endpoint_without_tls_gets_no_token(services: Egi) -> None:
    services.sites[0]["url"] = "http://cloud.example.org:5000/v3"
    with pytest.raises(Misconfigured, match="no TLS"):
        opened(services).sizes()


def test_a_line_for_all_sites_stands_for_those_of_the_vo_in_order(services: Egi) -> None:
    all_of_them = line(services.token(), kind="EGIIS", host="https://is.example.org")
    assert site_names(of(services), all_of_them) == ("RIG-ONE", "RIG-THREE")
    assert site_names(of(services), line(services.token())) == ()
    assert site_names(of(services, site="RIG-THREE"), all_of_them) == ()
    made = opened(services, all_of_them)
    assert made.account.where().site.name == "RIG-ONE"
    assert opened(services, all_of_them, site="RIG-THREE").account.where().site.name == "RIG-THREE"
    assert (cloud_of("EGI"), cloud_of("EGIIS")) == ("egi", "egi")


NEWEST = "17d9bfac-0f93-48da-b0eb-4fbad3356f73"


@pytest.mark.parametrize(
    "image",
    [
        "egi_vm_images/ubuntu:22.04",
        "ubuntu:22.04",
        "appdb://RIG-ONE/egi_vm_images/ubuntu:22.04?vo.rig.example",
        "appdb://rig/ubuntu:22.04",
        "appdb://ubuntu:22.04?vo.rig.example",
        f"ost://127.0.0.1/{NEWEST}",
        NEWEST,
    ],
)
def test_an_image_of_the_registry_is_the_sites_newest(image: str, services: Egi) -> None:
    provider = open_provider(of(services), line(services.token()))
    assert isinstance(provider, EgiProvider)
    assert provider._image(Spec(image=image)).id == NEWEST
    provider.close()


@pytest.mark.parametrize(
    ("image", "error", "word"),
    [
        ("appdb://RIG-TWO/ubuntu:22.04", Unsupported, "one of RIG-TWO, and this is RIG-ONE"),
        ("appdb://RIG-ONE/ubuntu:22.04?vo.b", Unsupported, "is for the VO vo.b"),
        ("appdb://RIG-ONE/", Unsupported, "names no image"),
        ("aws://eu-west-1/ami-1", Unsupported, "not one of"),
        ("debian:99", NotFound, "no image 'debian:99'"),
    ],
)
def test_an_image_that_is_not_to_be_had_is_refused(
    image: str, error: type[InfraError], word: str, services: Egi
) -> None:
    provider = open_provider(of(services), line(services.token()))
    assert isinstance(provider, EgiProvider)
    with pytest.raises(error, match=word):
        provider._image(Spec(image=image))
    provider.close()


def test_where_the_service_knows_no_images_the_sites_own_properties_tell(services: Egi, cloud: SmallCloud) -> None:
    attributes = '{"eu.egi.cloud.image_ref": "egi_vm_images/debian:12", "ad:appid": "1087"}'
    ident = cloud.image("odd", APPLIANCE_ATTRIBUTES=attributes)
    services.images = []
    for name in ("debian:12", "egi_vm_images/debian:12", "1087"):
        assert [image.id for image in opened(services).images(ImageQuery(name=name))] == [ident]
    services.status["/is/site/"] = 500
    assert [image.id for image in opened(services).images(ImageQuery(name="debian:12"))] == [ident]
    with pytest.raises(InfraError, match="HTTP 500"):
        opened(services).images(ImageQuery(name="unknown:1"))


def test_properties_of_appdb_are_understood_and_broken_ones_left_alone() -> None:
    uri = "https://appdb.egi.eu/store/vo/image/83d5e854-a128-5b1f-9457-d32e10a720a6:8135/"
    raw = {"id": "g", "name": "Image for EGI Ubuntu 20.04 [Ubuntu/20.04/KVM]", "vmcatcher_event_ad_mpuri": uri}
    image = image_in_glance({**raw, "appdb_id": "83d5e854", "APPLIANCE_ATTRIBUTES": "{broken"})
    assert (image.mpuri, image.also) == (uri, ("83d5e854", "egi.ubuntu.20.04"))
    assert image_in_glance({"id": "g", "name": None, "APPLIANCE_ATTRIBUTES": "[]"}).also == ()


def notes(made: EgiCloud, name: str, *, public: bool = True) -> list[str]:
    return list(made._notes(Spec(interfaces=(SpecInterface("net", public=public, dns_names=(name,)),))))


def test_the_plan_says_what_becomes_of_names(services: Egi) -> None:
    made = opened(services)
    web = f"web.{ZONE}"
    assert notes(made, web) == [f"{web}: set in the dynamic DNS"]
    assert notes(made, "web.example.org") == ["web.example.org: in none of its zones, set it yourself"]
    assert notes(made, web, public=False) == [f"{web}: not set, for the machine has no public address"]
    assert "no service" in notes(opened(services, dns=""), web)[0]
    services.status["/nic"] = 503
    assert "HTTP 503" in notes(opened(services), web)[0]
    with pytest.raises(Unsupported, match="is no DNS name"):
        notes(made, "web")
