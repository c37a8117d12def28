"""Lines of callers: with the line's own tokens, whatever the server has."""

from pathlib import Path

import pytest

from im_client.auth.authfile import parse_auth
from im_client.providers.base import Severity
from im_client.providers.cloud.lent import Lent
from im_client.providers.egi import open_provider
from infracore.errors import Unauthorised
from tests.im_client.providers.egi.test_cloud import line, of
from tests.rigs.egi import CLIENT, VO, Egi

HERE = Lent(("127.0.0.1", "localhost"))


@pytest.fixture
def more(services: Egi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """Settings and an environment with the server's own tokens."""
    for name in ("OIDC_ACCESS_TOKEN", "ACCESS_TOKEN", "OS_ACCESS_TOKEN"):
        monkeypatch.setenv(name, services.token())
    monkeypatch.setenv("OIDC_SOCK", str(tmp_path / "agent"))
    monkeypatch.setenv("OIDC_REFRESH_TOKEN", "first-refresh-token")
    monkeypatch.setenv("OIDC_CLIENT_ID", CLIENT)
    monkeypatch.setenv("EGI_VO", VO)
    file = tmp_path / "token"
    file.write_text(services.token())
    file.chmod(0o600)
    return {"token_file": str(file), "oidc_account": "ours"}


def test_a_line_without_a_token_is_unauthorised(services: Egi, more: dict[str, str]) -> None:
    bare = parse_auth(f"id = egi; type = EGI; host = RIG-ONE; vo = {VO}")
    with pytest.raises(Unauthorised, match="egi has neither token nor refresh_token"):
        open_provider(of(services, **more), bare, HERE)
    with pytest.raises(Unauthorised):
        open_provider(of(services, **more), (), HERE)
    own = open_provider(of(services, **more), bare)
    assert {one.severity for one in own.check()} == {Severity.OK}
    own.close()


def test_a_token_that_has_ended_is_not_replaced_by_the_servers(services: Egi, more: dict[str, str]) -> None:
    lent = open_provider(of(services, **more), line(services.token(life_s=-300)), HERE)
    found = lent.check()[-1]
    assert found.severity is Severity.ERROR
    assert found.text.startswith("there is no access token: the token of the line egi of the auth file expired")
    assert ";" not in found.text  # nothing else was asked
    lent.close()


def test_a_site_on_the_servers_own_network_is_not_entered(services: Egi) -> None:
    lent = open_provider(of(services), line(services.token()), Lent())
    assert "is not a public address" in lent.check()[-1].text
    assert not any(path.startswith("/keystone") for path in services.asked)
    lent.close()
    allowed = open_provider(of(services), line(services.token()), HERE)
    assert {one.severity for one in allowed.check()} == {Severity.OK}
    allowed.close()
