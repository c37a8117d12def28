"""HashiCorp Vault is asked with the caller's own token, and only for what is the caller's."""

import json

import pytest

from im_client.services.server.callers import Caller
from im_client.services.server.vault import HashicorpVault, with_vault
from im_client.settings import VaultSettings
from infracore.errors import Misconfigured, Transient, Unauthorised, Unsupported
from infracore.secrets import Secret
from tests.rigs.hashicorp import vault

ENTRIES = {"secret/im/42": {"ost": json.dumps({"type": "OpenStack", "password": "swordfish"})}}
ANA = Caller("42@https://issuer.example", False, bearer=Secret("a.jwt"))


def settings(url: str) -> VaultSettings:
    return VaultSettings(kind="hashicorp", url=url, path="secret/im/{sub}")


def test_what_is_in_the_vault_counts_as_if_it_had_come_along() -> None:
    with vault(ENTRIES, "a.jwt") as url:
        caller = with_vault(HashicorpVault(settings(url)), ANA)
    assert [(one.id, one.type) for one in caller.credentials] == [("ost", "OpenStack")]
    assert caller.credentials[0].fields["password"].reveal() == "swordfish"
    assert "swordfish" not in repr(caller)


def test_who_has_nothing_there_has_nothing() -> None:
    with vault({}, "a.jwt") as url:
        assert HashicorpVault(settings(url)).read(ANA) == ()
        assert HashicorpVault(settings(url)).read(Caller("ana", False)) == ()


def test_a_token_that_the_vault_does_not_take_is_refused() -> None:
    with vault(ENTRIES, "another") as url, pytest.raises(Unauthorised):
        HashicorpVault(settings(url)).read(ANA)


def test_an_entry_that_is_no_auth_line_is_told() -> None:
    with vault({"secret/im/42": {"ost": "not json"}}, "a.jwt") as url, pytest.raises(Misconfigured, match="ost"):
        HashicorpVault(settings(url)).read(ANA)


def test_a_vault_that_is_away_may_come_back() -> None:
    with vault({}, "") as url:
        pass
    with pytest.raises(Transient):
        HashicorpVault(settings(url)).read(ANA)


def test_a_vault_beyond_this_computer_speaks_tls() -> None:
    with pytest.raises(Misconfigured, match="https"):
        HashicorpVault(settings("http://vault.example"))


def test_it_is_only_read() -> None:
    found = HashicorpVault(settings("https://vault.example"))
    with pytest.raises(Unsupported):
        found.remove(ANA, "ost")
