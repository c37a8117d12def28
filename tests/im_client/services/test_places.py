"""A line of the auth file that stands for several sites: its machines are asked for at one after the other."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from im_client.providers.base import Severity
from im_client.services.context import Context, open_context
from im_client.services.doctor import doctor
from im_client.services.sites import with_places
from im_client.topology.model import Group, Placement, Topology
from infracore.errors import NotFound
from tests.rigs.egi import VO, Egi, egi


@pytest.fixture
def services() -> Iterator[Egi]:
    with egi() as running:
        yield running


@pytest.fixture
def ctx(services: Egi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    for name in [name for name in os.environ if name.startswith(("OIDC_", "EGI_", "OS_"))]:
        monkeypatch.delenv(name)
    auth = tmp_path / "auth.dat"
    auth.touch(0o600)
    auth.write_text(f"id = all; type = EGIIS; vo = {VO}; token = {services.token()}\n")
    own = {"information": f"{services.base}/is", "issuer": services.issuer.url, "dns": services.base}
    folders = {"state_dir": str(tmp_path / "state"), "cache_dir": str(tmp_path / "cache")}
    overrides = {**folders, "auth_file": str(auth), "providers": {"egi": own}}
    with open_context(overrides=overrides, environ={"HOME": str(tmp_path)}, cwd=tmp_path) as opened:
        yield opened


def test_the_line_stands_for_the_sites_of_the_vo_and_is_looked_up_once(ctx: Context, services: Egi) -> None:
    assert ctx.places("all") == ("all.RIG-ONE", "all.RIG-THREE")
    assert ctx.places("all") == ctx.places("all")
    assert len(services.asked) == 1
    assert ctx.places("local") == ("local",)
    assert ctx.places("all.RIG-ONE") == ("all.RIG-ONE",)
    assert ctx.places("unknown") == ("unknown",)


def test_each_of_its_sites_can_be_named(ctx: Context) -> None:
    assert ctx.provider("all.RIG-THREE") is ctx.provider("all.RIG-THREE")
    assert ctx.provider("all.RIG-THREE") is not ctx.provider("all.RIG-ONE")


def test_a_line_whose_vo_no_site_supports_is_said(ctx: Context, services: Egi) -> None:
    services.sites = services.sites[1:2]
    with pytest.raises(NotFound, match="no site of the Federated Cloud supports"):
        ctx.places("all")


def placed(ctx: Context, own: str, placement: Placement) -> Placement:
    topology = Topology("t", groups={"wn": Group("wn", 1, 1, 1, placement=placement)})
    return with_places(topology, ctx, own).groups["wn"].placement


BOTH = ("all.RIG-ONE", "all.RIG-THREE")


@pytest.mark.parametrize(
    ("own", "before", "after"),
    [
        ("all", Placement(), Placement(sites=BOTH)),
        ("local", Placement(), Placement()),
        ("local", Placement(cloud_id="all"), Placement(sites=BOTH)),
        ("local", Placement(sites=("campus", "all", "all.RIG-ONE")), Placement(sites=("campus", *BOTH))),
        ("all", Placement(sites=("campus",)), Placement(sites=("campus",))),
        ("local", Placement(cloud_id="another"), Placement(cloud_id="another")),
    ],
)
def test_groups_without_a_place_of_their_own_get_all_of_them_in_order(
    own: str, before: Placement, after: Placement, ctx: Context
) -> None:
    assert placed(ctx, own, before) == after


def test_doctor_examines_what_a_line_is_for(ctx: Context) -> None:
    found = doctor(ctx.settings, ("all", "all.RIG-THREE", "nobody")).findings
    assert next(one.text for one in found["all"] if one.check == "site").startswith("RIG-ONE (")
    assert found["all.RIG-THREE"][-1].severity is Severity.ERROR  # there is no Keystone
    assert "there is no provider 'nobody'" in found["nobody"][0].text
