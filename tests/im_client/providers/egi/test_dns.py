"""Names in the dynamic DNS: registered, moved, left alone, and removed."""

import pytest

from im_client.auth.asking import Service
from im_client.providers.egi.dns import DynamicDns, Mark, parse_secrets
from infracore.errors import Conflict, Misconfigured, Transient, Unauthorised, Unsupported
from infracore.http import Http, parse_address
from infracore.secrets import Secret
from tests.rigs.egi import ZONE, Egi

MARK = Mark("inf-1", "token-1", "server-1", "SITE")
WEB = f"web.{ZONE}"


def dns(services: Egi, user: str = "alice@egi.eu", secrets: str = "") -> DynamicDns:
    service = Service(Http(parse_address(services.base, "dns")), "the dynamic DNS", 5.0)
    token = Secret(services.token(user))
    return DynamicDns(service, lambda: token, parse_secrets(secrets))


def test_a_name_is_registered_with_our_mark_and_moved_when_the_address_changes(services: Egi) -> None:
    one = dns(services)
    one.point(WEB, "203.0.113.5", MARK)
    assert (services.hosts[WEB]["ipv4"], services.hosts[WEB]["comment"]) == ("203.0.113.5", str(MARK))
    one.point(WEB.upper(), "203.0.113.6", MARK)
    assert services.hosts[WEB]["ipv4"] == "203.0.113.6"
    assert [name.mark for name in one.names()] == [MARK]


def test_what_is_so_already_is_not_said_again(services: Egi) -> None:
    one = dns(services)
    one.point(WEB, "203.0.113.5", MARK)
    services.asked.clear()
    one.point(WEB, "203.0.113.5", MARK)
    assert services.asked == []
    dns(services).point(WEB, "203.0.113.5", MARK)
    assert services.asked == ["/nic/hosts"]


def test_the_name_of_a_machine_that_was_replaced_goes_to_the_new_one(services: Egi) -> None:
    dns(services).point(WEB, "203.0.113.5", MARK)
    other = Mark("inf-1", "token-2", "server-2", "SITE")
    dns(services).point(WEB, "203.0.113.7", other)
    assert (services.hosts[WEB]["ipv4"], services.hosts[WEB]["comment"]) == ("203.0.113.7", str(other))


def test_the_name_of_another_infrastructure_is_not_taken(services: Egi) -> None:
    dns(services).point(WEB, "203.0.113.5", MARK)
    with pytest.raises(Conflict, match="belongs to the infrastructure inf-1"):
        dns(services).point(WEB, "203.0.113.6", Mark("inf-2", "t", "s", "SITE"))
    assert services.hosts[WEB]["ipv4"] == "203.0.113.5"


def test_the_name_of_another_user_is_not_taken(services: Egi) -> None:
    dns(services, "bob@egi.eu").point(WEB, "203.0.113.5", MARK)
    with pytest.raises(Conflict, match="taken"):
        dns(services).point(WEB, "203.0.113.6", Mark("inf-2", "t", "s", "SITE"))


def test_a_name_that_was_made_by_hand_is_used_and_never_removed(services: Egi) -> None:
    dns(services).point(WEB, "203.0.113.5", MARK)
    services.hosts[WEB]["comment"] = "my own"
    dns(services).point(WEB, "203.0.113.6", Mark("inf-2", "t", "s", "SITE"))
    assert services.hosts[WEB]["ipv4"] == "203.0.113.6"
    dns(services).remove(WEB)
    assert WEB in services.hosts


def test_a_name_with_a_secret_needs_no_account(services: Egi) -> None:
    dns(services, "bob@egi.eu").point(WEB, "203.0.113.5", MARK)
    secret = services.hosts[WEB]["secret"]
    dns(services, secrets=f"{WEB}:{secret}").point(WEB, "203.0.113.9", MARK)
    assert services.hosts[WEB]["ipv4"] == "203.0.113.9"
    with pytest.raises(Unauthorised) as caught:
        dns(services, secrets=f"{WEB}:sEcReT").point(WEB, "203.0.113.8", MARK)
    assert "sEcReT" not in caught.value.message


def test_a_wildcard_is_a_host_with_all_below_it(services: Egi) -> None:
    one = dns(services)
    assert one.is_ours(f"*.k8s.{ZONE}")
    one.point(f"*.k8s.{ZONE}", "203.0.113.5", MARK)
    assert services.hosts[f"k8s.{ZONE}"]["wildcard"]
    one.remove(f"*.k8s.{ZONE}")
    assert services.hosts == {}


def test_removing_may_be_repeated(services: Egi) -> None:
    one = dns(services)
    one.point(WEB, "203.0.113.5", MARK)
    one.remove(WEB)
    one.remove(WEB)
    assert services.hosts == {}
    one.point(WEB, "203.0.113.5", MARK)
    assert WEB in services.hosts


def test_only_names_in_its_zones_are_its_business(services: Egi) -> None:
    one = dns(services, secrets="a.other.example:s")
    assert one.is_ours(WEB)
    assert not one.is_ours("web.example.org")
    assert not one.is_ours(f"a.b.{ZONE}")
    assert one.is_ours("a.other.example")
    for name in ("web", "dydns:secret@web.example.org", "a b.example.org", ""):
        with pytest.raises(Unsupported) as caught:
            one.is_ours(name)
        assert "secret" not in caught.value.message


def test_a_broken_service_is_transient_and_a_refused_token_is_not(services: Egi) -> None:
    services.status["/nic"] = 502
    with pytest.raises(Transient):
        dns(services).names()
    services.status.clear()
    expired = DynamicDns(dns(services).service, lambda: Secret(services.token(life_s=-5)))
    with pytest.raises(Unauthorised):
        expired.names()


@pytest.mark.parametrize("text", ["sEcReT", "web:sEcReT", "a.b.example:", ":sEcReT", "a b.example:sEcReT"])
def test_secrets_that_are_none_are_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(Misconfigured, match="entry 1") as caught:
        parse_secrets(text)
    assert "sEcReT" not in caught.value.message
