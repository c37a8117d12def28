"""What tokens say of themselves."""

import base64
import json

import pytest

from im_client.auth.claims import Claims, check_token, read_claims, vos_of
from infracore.errors import Misconfigured
from infracore.secrets import Secret


def jwt(claims: object) -> Secret:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return Secret(f"e30.{body}.sig")


def test_a_token_says_who_it_is_for_until_when_and_of_which_vos() -> None:
    said = {
        "iss": "https://aai.egi.eu/auth/realms/egi",
        "sub": "alice@egi.eu",
        "exp": 1_700_000_000,
        "eduperson_entitlement": [
            "urn:mace:egi.eu:group:vo.access.egi.eu:role=member#aai.egi.eu",
            "urn:mace:egi.eu:group:vo.access.egi.eu:role=vm_operator#aai.egi.eu",
            "urn:mace:egi.eu:group:eosc-synergy.eu:admins:role=owner#aai.egi.eu",
            "urn:mace:egi.eu:goc.egi.eu:12345:SITE:Site+Administrator@egi.eu",
        ],
    }
    claims = Claims(said["iss"], "alice@egi.eu", 1_700_000_000.0, ("eosc-synergy.eu", "vo.access.egi.eu"))  # type: ignore[arg-type]
    assert read_claims(jwt(said)) == claims


@pytest.mark.parametrize("key", ["eduperson_entitlement", "entitlements"])
def test_one_entitlement_may_stand_alone(key: str) -> None:
    assert vos_of({key: "urn:geant:eosc.example:group:vo.a:role=member#aai"}) == ("vo.a",)


def test_no_entitlements_say_nothing_and_none_at_all_say_that_there_are_none() -> None:
    assert vos_of({"sub": "x"}) is None
    assert vos_of({"entitlements": []}) == ()


@pytest.mark.parametrize("text", ["opaque", "a.b", "a.b.c.d"])
def test_a_token_that_is_no_jwt_says_nothing(text: str) -> None:
    assert read_claims(Secret(text)) == Claims()


@pytest.mark.parametrize("claims", [{"exp": "soon"}, {"exp": True}, {"iss": 3}, {}])
def test_claims_of_another_type_say_nothing(claims: object) -> None:
    assert read_claims(jwt(claims)) == Claims()


@pytest.mark.parametrize("text", ["a.b.c", "e30.!!!.c", "e30.W10.c", "e30.gICA.c"])
def test_a_broken_jwt_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(Misconfigured, match="broken") as caught:
        read_claims(Secret(text))
    assert text not in caught.value.message


@pytest.mark.parametrize("text", ["", "  \n", "two words", "line\nbreak", "na\u00efve"])
def test_what_no_header_holds_is_no_token(text: str) -> None:
    with pytest.raises(Misconfigured):
        check_token(text, "the token")
    assert check_token(" abc\n", "the token").reveal() == "abc"
