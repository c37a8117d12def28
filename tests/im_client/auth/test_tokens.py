"""Tokens that stay fresh: which source gives one, when it is asked again, and what is said where none does."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from im_client.auth.claims import Claims
from im_client.auth.issuer import Issuer
from im_client.auth.tokens import Given, InFile, Refreshed, Source, Tokens, from_environment
from infracore.clock import FakeClock
from infracore.errors import Misconfigured, Transient, Unauthorised
from infracore.secrets import Secret
from tests.im_client.auth.test_claims import jwt
from tests.rigs.egi import CLIENT, Egi, egi

NOW = 1_700_000_000.0


def token(life_s: float, **claims: object) -> Secret:
    return jwt({"exp": NOW + life_s, **claims})


@dataclass
class Makes:
    """A source that makes a token of some life each time."""

    clock: FakeClock
    life_s: float = 3600.0
    what: str = "the maker"
    asked: int = field(default=0)

    def ask(self, least_s: float) -> Secret:
        self.asked += 1
        return jwt({"exp": self.clock.now() + self.life_s, "jti": self.asked})


@pytest.fixture
def services() -> Iterator[Egi]:
    with egi() as running:
        yield running


def tokens(*sources: Source, clock: FakeClock | None = None) -> Tokens:
    return Tokens(sources, clock or FakeClock(NOW))


def test_the_first_source_with_a_good_token_gives_it() -> None:
    old, good, other = Given("the line", token(-60)), Given("a", token(600)), Given("b", token(900))
    assert tokens(old, good, other).get() == good.token


def test_a_token_is_replaced_ahead_of_its_end() -> None:
    clock = FakeClock(NOW)
    maker = Makes(clock)
    made = tokens(maker, clock=clock)
    first = made.get()
    clock.advance(3400)
    assert made.get() == first
    clock.advance(100)
    assert made.get() != first
    assert maker.asked == 2


def test_a_token_near_its_end_is_used_where_there_is_no_better_one() -> None:
    near, nearer = Given("a", token(90)), Given("b", token(30))
    assert tokens(nearer, near).get() == near.token


def test_a_token_that_does_not_say_when_it_ends_is_used_until_it_is_refused() -> None:
    clock = FakeClock(NOW)
    opaque, maker = Given("the line", Secret("opaque")), Makes(clock)
    made = tokens(opaque, maker, clock=clock)
    assert made.get() == opaque.token
    assert made.renew()
    assert made.get() != opaque.token


def test_a_refused_token_is_not_used_again_where_there_is_no_other() -> None:
    made = tokens(Given("the line", token(600)))
    made.get()
    assert not made.renew()


def test_many_threads_that_were_refused_together_ask_for_one_token() -> None:
    clock = FakeClock(NOW)
    maker = Makes(clock)
    made = tokens(maker, clock=clock)
    made.get()
    threads = [threading.Thread(target=made.renew) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert maker.asked == 2
    clock.advance(11)
    assert made.renew()
    assert maker.asked == 3


def test_where_no_source_has_a_token_each_says_why() -> None:
    with pytest.raises(Unauthorised) as caught:
        tokens(Given("the line's token", token(-600)), Given("$TOKEN", Secret("two words"))).get()
    assert "the line's token expired 10 min ago; $TOKEN: $TOKEN holds a blank" in caught.value.message
    assert "two words" not in caught.value.message
    with pytest.raises(Unauthorised, match="none was given"):
        tokens().get()


def test_a_token_that_is_not_accepted_leaves_the_place_to_the_next() -> None:
    def of_vo(claims: Claims) -> None:
        if claims.subject != "alice":
            raise Unauthorised("it is not alice's")

    bob, alice = Given("a", token(600, sub="bob")), Given("b", token(600, sub="alice"))
    assert Tokens([bob, alice], FakeClock(NOW), of_vo).get() == alice.token
    with pytest.raises(Unauthorised, match="a: it is not alice's"):
        Tokens([bob], FakeClock(NOW), of_vo).get()


def test_a_file_is_read_anew_and_is_not_open_to_all(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text(token(60).reveal() + "\n")
    made = tokens(InFile(str(file)))
    made.get()
    file.write_text(token(3600).reveal())
    assert made.get() == token(3600)
    file.chmod(0o440)  # as Kubernetes and systemd mount secrets
    assert tokens(InFile(str(file))).get() == token(3600)
    file.chmod(0o644)
    with pytest.raises(Unauthorised, match="open to others"):
        tokens(InFile(str(file))).get()


def test_variables_of_fedcloudclient_are_sources_in_order() -> None:
    found = from_environment({"ACCESS_TOKEN": "b", "OIDC_ACCESS_TOKEN": "a", "OS_ACCESS_TOKEN": "", "OTHER": "c"})
    assert [one.what for one in found] == ["$OIDC_ACCESS_TOKEN", "$ACCESS_TOKEN"]


def test_a_refresh_token_gives_tokens_and_is_replaced_by_the_next(services: Egi) -> None:
    source = Refreshed(Issuer(services.issuer.url), Secret("first-refresh-token"), CLIENT, Secret(""))
    first, second = source.ask(120), source.ask(120)
    assert first != second
    assert services.claims(f"Bearer {second.reveal()}") is not None


def test_a_refresh_token_that_is_not_taken_says_so(services: Egi) -> None:
    with pytest.raises(Unauthorised, match=r"invalid_grant: Invalid refresh token") as caught:
        Issuer(services.issuer.url).refresh(Secret("sEcReT"), CLIENT, Secret(""))
    assert "sEcReT" not in caught.value.message
    with pytest.raises(Unauthorised, match="invalid_client"):
        Issuer(services.issuer.url).refresh(Secret("first-refresh-token"), "nobody", Secret(""))


def test_an_issuer_that_is_busy_or_another_one_is_told_apart(services: Egi) -> None:
    assert Issuer(services.issuer.url).userinfo(Secret(services.token()))["sub"] == "alice@egi.eu"
    with pytest.raises(Unauthorised):
        Issuer(services.issuer.url).userinfo(Secret(services.token(life_s=-10)))
    services.issuer.url += "x"
    with pytest.raises(Misconfigured, match="says that it is the issuer"):
        Issuer(services.issuer.url[:-1]).userinfo(Secret("t"))
    services.status["/auth"] = 503
    with pytest.raises(Transient, match="HTTP 503"):
        Issuer(services.issuer.url[:-1]).userinfo(Secret("t"))


@pytest.mark.parametrize("url", ["http://aai.egi.eu/auth/realms/egi", "aai.egi.eu", "https://user:pw@aai.egi.eu"])
def test_a_token_is_sent_to_no_issuer_without_tls(url: str) -> None:
    with pytest.raises(Misconfigured):
        Issuer(url)
