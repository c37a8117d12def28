"""Accounts, tokens of ours and of an OpenID provider: who is let in."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from im_client.services.server.accounts import Accounts
from im_client.services.server.callers import Callers
from im_client.services.server.oidc import Oidc
from im_client.settings import OidcSettings
from im_client.state.server import Role
from im_client.state.sql_server import SqlServerStore
from im_client.state.sqlite import SqliteStore
from infracore.clock import FakeClock
from infracore.errors import InvalidUsage, Misconfigured, Transient, Unauthorised
from infracore.secrets import Secret
from tests.im_client.state.records import ID, SEAL, infrastructure

ISSUER = "https://issuer.example"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PASSWORD = Secret("correct horse")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def accounts(tmp_path: Path, clock: FakeClock) -> Iterator[Accounts]:
    store = SqliteStore(tmp_path / "state.db", SEAL)
    store.add_infrastructure(infrastructure())
    yield Accounts(SqlServerStore(store), clock)
    store.close()


def jwks() -> bytes:
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key()))
    return json.dumps({"keys": [{**public, "kid": "one", "use": "sig"}]}).encode()


def oidc(**settings: Any) -> Oidc:
    made = OidcSettings(issuer=ISSUER, audience="im", jwks=f"{ISSUER}/keys", **settings)
    return Oidc(made, FakeClock().monotonic, lambda _: jwks())


def token(key: Any = KEY, algorithm: str = "RS256", kid: str = "one", **claims: Any) -> str:
    said = {"iss": ISSUER, "aud": "im", "sub": "42", "exp": 4_000_000_000, **claims}
    return jwt.encode({k: v for k, v in said.items() if v is not None}, key, algorithm, headers={"kid": kid})


def test_a_password_opens_and_another_does_not(accounts: Accounts) -> None:
    record = accounts.add("ana", PASSWORD)
    assert record.password_hash.startswith("$argon2id$")
    for _ in range(2):
        grant = accounts.check("ana", PASSWORD)
        assert grant is not None
        assert grant.account == "ana"
    assert accounts.check("ana", Secret("wrong horse")) is None
    assert accounts.check("nobody", PASSWORD) is None


def test_a_new_password_ends_the_old_one_at_once(accounts: Accounts) -> None:
    accounts.add("ana", PASSWORD)
    assert accounts.check("ana", PASSWORD)
    accounts.add("ana", Secret("another horse"))
    assert accounts.check("ana", PASSWORD) is None


def test_guessing_is_slowed_down_for_one_account_only(accounts: Accounts, clock: FakeClock) -> None:
    accounts.add("ana", PASSWORD)
    for number in range(10):
        assert accounts.check("eve", Secret(f"guess {number}")) is None
    with pytest.raises(Transient) as caught:
        accounts.check("eve", PASSWORD)
    assert caught.value.retry_after_s == 60
    assert accounts.check("ana", PASSWORD)


@pytest.mark.parametrize(("name", "password"), [("", "long enough"), ("a b", "long enough"), ("ana", "short")])
def test_poor_names_and_passwords_are_refused(accounts: Accounts, name: str, password: str) -> None:
    with pytest.raises(InvalidUsage):
        accounts.add(name, Secret(password))


def test_a_token_gives_its_role_until_it_expires(accounts: Accounts) -> None:
    accounts.add("ana", PASSWORD, is_admin=True)
    record, text = accounts.make_token("ana", role=Role.SCALER, infrastructure=ID, valid_s=0.0)
    assert accounts.check_token(text) is None
    _, text = accounts.make_token("ana", role=Role.SCALER, infrastructure=ID, valid_s=60.0)
    grant = accounts.check_token(text)
    assert grant is not None
    assert (grant.most, grant.infrastructure, grant.is_admin) == (Role.SCALER, ID, False)
    assert accounts.check_token(Secret(f"{text.reveal()}x")) is None
    assert text.reveal().encode() not in record.digest


def test_a_token_of_an_infrastructure_stands_for_no_account(accounts: Accounts) -> None:
    _, text = accounts.make_token(None, role=Role.SCALER, infrastructure=ID, name="cluesd")
    caller = Callers(accounts, None).recognise(f"Bearer {text.reveal()}")
    assert (caller.name, caller.is_own, caller.is_admin) == (f"token:{ID}/cluesd", True, False)
    assert (caller.most, caller.infrastructure) == (Role.SCALER, ID)
    with pytest.raises(InvalidUsage):
        accounts.add(caller.name, PASSWORD)


@pytest.mark.parametrize("name", ["a b", "/", "é", "a" * 65, "-x"])
def test_poor_names_of_tokens_are_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(InvalidUsage, match="no name of a token"):
        accounts.make_token(None, role=Role.VIEWER, infrastructure=ID, name=name)


def test_a_token_of_the_issuer_names_its_subject(accounts: Accounts) -> None:
    caller = Callers(accounts, oidc()).recognise(f"Bearer {token()}")
    assert caller.name == f"42@{ISSUER}"
    line = f"type = InfrastructureManager; token = {token()}\\nid = one; type = Dummy"
    assert Callers(accounts, oidc()).recognise(line).credentials[0].type == "Dummy"


@pytest.mark.parametrize(
    "bad",
    [
        token(OTHER),
        token(aud="another service"),
        token(iss="https://elsewhere.example"),
        token(exp=1),
        token(exp=None),
        token(sub=None),
        token(nbf=4_000_000_000),
        token(kid="two"),
        jwt.encode({"iss": ISSUER, "aud": "im", "sub": "42", "exp": 4_000_000_000}, "x" * 32, "HS256", {"kid": "one"}),
        jwt.encode({"iss": ISSUER, "aud": "im", "sub": "42", "exp": 4_000_000_000}, None, "none", {"kid": "one"}),
        "a.b.c",
    ],
    # signatures differ from process to process, and names of tests must not
    ids=[
        "key",
        "audience",
        "issuer",
        "expired",
        "endless",
        "nobody",
        "not-yet",
        "kid",
        "symmetric",
        "unsigned",
        "none",
    ],
)
def test_other_tokens_are_refused(accounts: Accounts, bad: str) -> None:
    with pytest.raises(Unauthorised):
        Callers(accounts, oidc()).recognise(f"Bearer {bad}")


def test_groups_let_in_and_make_administrators(accounts: Accounts) -> None:
    callers = Callers(accounts, oidc(groups=("lab",), admin_groups=("ops",)))
    assert not callers.recognise(f"Bearer {token(groups=['lab'])}").is_admin
    assert callers.recognise(f"Bearer {token(groups=['ops'])}").is_admin
    for groups in (["others"], [], "lab", None):
        with pytest.raises(Unauthorised):
            callers.recognise(f"Bearer {token(groups=groups)}")


def test_tokens_for_any_service_are_no_setting() -> None:
    with pytest.raises(Misconfigured, match="audience"):
        Oidc(OidcSettings(issuer=ISSUER), FakeClock().monotonic)


@pytest.mark.parametrize("jwks_at", ["http://issuer.example/keys", "/no/such/file"])
def test_keys_come_over_tls_or_from_a_file(accounts: Accounts, jwks_at: str) -> None:
    provider = Oidc(OidcSettings(issuer=ISSUER, audience="im", jwks=jwks_at), FakeClock().monotonic)
    with pytest.raises(Misconfigured):
        provider.check(Secret(token()))


@pytest.mark.parametrize(
    "header",
    [
        r'[{"type": "InfrastructureManager", "username": "\ud800", "password": "x"}]',
        r'[{"type": "InfrastructureManager", "username": "ana", "password": "\udfff"}]',
        r'[{"type": "InfrastructureManager", "token": "imt_\ud800"}]',
        r'[{"type": "InfrastructureManager", "\ud800": "x"}]',
        f"[{'9' * 5000}]",
    ],
)
def test_json_that_no_text_can_hold_lets_nobody_in(accounts: Accounts, header: str) -> None:
    accounts.add("ana", PASSWORD)
    with pytest.raises(Unauthorised):
        Callers(accounts, None).recognise(header)


def test_many_wrong_passwords_at_once_do_not_all_wait(accounts: Accounts) -> None:
    accounts.add("ana", PASSWORD)
    assert accounts.check("ana", PASSWORD) is not None
    begin = threading.Barrier(30)

    def guess(number: int) -> bool:
        begin.wait(10)
        try:
            return accounts.check(f"nobody{number}", Secret("wrong")) is None
        except Transient:
            return False

    with ThreadPoolExecutor(30) as pool:
        looked_at = list(pool.map(guess, range(30)))
    assert True in looked_at
    assert False in looked_at
    assert accounts.check("ana", PASSWORD) is not None
