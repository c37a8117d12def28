"""An account has so many machines and no more, however they are asked for."""

from pathlib import Path

import pytest

from tests.im_client.api.templates import tosca
from tests.rigs.im_serve import im_serve

pytestmark = pytest.mark.slow


def test_an_account_has_no_more_machines_than_it_may(tmp_path: Path) -> None:
    with im_serve(tmp_path, IM_SERVER_MOST_MACHINES="4") as server:
        ana, bob = server.user("ana"), server.user("bob")
        refused = ana("POST", "/infrastructures", tosca(4), Content_Type="text/yaml", Accept="application/json")
        assert (refused.status, refused.json["type"]) == (400, "urn:im-clues:quota-exceeded")
        assert ana("GET", "/infrastructures").text == ""

        made = ana("POST", "/infrastructures", tosca(2), Content_Type="text/yaml")
        infra = f"/infrastructures/{made.headers['infid']}"
        ana.settle(made)
        assert ana("POST", "/infrastructures", tosca(2), Content_Type="text/yaml").status == 400
        assert ana("POST", infra, tosca(4), Content_Type="text/yaml").status == 400
        assert ana.vms(infra).keys() == {"0", "1", "2"}
        assert bob("POST", "/infrastructures", tosca(3), Content_Type="text/yaml").status == 200

        ana.settle(ana("POST", infra, tosca(3), Content_Type="text/yaml"))
        assert ana("DELETE", f"{infra}/vms/3").status == 200, "who is at the limit may remove"
        assert ana("DELETE", infra).status == 200
        ana.settle(ana("POST", "/infrastructures", tosca(3), Content_Type="text/yaml"))
