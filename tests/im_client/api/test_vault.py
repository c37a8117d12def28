"""The vault: credentials rest encrypted under a key of their own, and count as if they had come along."""

import json
import sqlite3
from pathlib import Path

import pytest

from im_client.state.server import Role
from tests.im_client.api.templates import tosca
from tests.rigs.im_serve import Client, im_serve

pytestmark = pytest.mark.slow


def test_what_is_put_away_counts_and_never_comes_out(tmp_path: Path) -> None:
    with im_serve(tmp_path, IM_SERVER_VAULT_KIND="own") as server:
        server.user("ana")
        ana = server.token("ana")
        assert ana("GET", "/clouds/mine/quotas").status == 404
        body = json.dumps({"type": "Dummy", "password": "swordfish"})
        assert ana("PUT", "/vault/mine", body).status == 200
        assert "instances" in ana("GET", "/clouds/mine/quotas").json["quotas"]
        listed = ana("GET", "/vault")
        assert listed.json == {"credentials": [{"id": "mine", "type": "Dummy"}]}
        server.user("bob")
        assert server.token("bob")("GET", "/vault").json == {"credentials": []}
        ana.create(tosca(0))
        assert ana("PUT", "/vault/9", body).status == 404
        assert ana("PUT", "/vault/x", "{}").status == 400
        assert ana("PUT", "/vault/x", "{}", Content_Type="text/yaml").status == 415
        assert ana("PUT", "/vault/x", '{"type": "OpenStack", "type": "EC2"}').status == 400
        assert ana("DELETE", "/vault/mine").status == 200
        assert ana("GET", "/vault").json == {"credentials": []}
        ana("PUT", "/vault/mine", body)
    rest = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert b"swordfish" not in rest
    assert (tmp_path / "state" / "vault.key").read_bytes() != (tmp_path / "state" / "key").read_bytes()


def test_a_token_that_only_looks_changes_nothing_in_the_vault(tmp_path: Path) -> None:
    with im_serve(tmp_path, IM_SERVER_VAULT_KIND="own") as server:
        ana = server.user("ana")
        assert ana("PUT", "/vault/mine", '{"type": "Dummy"}').status == 200
        for role in (Role.VIEWER, Role.SCALER):
            token = server.token("ana", role)
            assert token("PUT", "/vault/mine", '{"type": "OpenStack"}').status == 403
            assert token("DELETE", "/vault/mine").status == 403
        assert ana("GET", "/vault").json == {"credentials": [{"id": "mine", "type": "Dummy"}]}


def test_without_a_vault_no_credential_rests(tmp_path: Path) -> None:
    with im_serve(tmp_path) as server:
        ana = server.user("ana")
        ana = Client(ana.url, ana.auth + "; password = swordfish")
        ana.create(tosca(0))
        assert ana("GET", "/vault").status == 404
    db = sqlite3.connect(tmp_path / "state" / "state.db")
    assert db.execute("SELECT count(*) FROM vault_entry").fetchone() == (0,)
    db.close()
