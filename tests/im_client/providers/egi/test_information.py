"""The information service: asked once, kept, and done without where it does not answer."""

import json
from pathlib import Path

import pytest

from im_client.auth.asking import Service
from im_client.providers.egi.information import Information
from infracore.clock import FakeClock
from infracore.errors import Misconfigured, NotFound, Transient
from infracore.http import Http, parse_address
from tests.rigs.egi import PROJECT, VO, Egi


def information(
    services: Egi, cache: Path | None, clock: FakeClock | None = None, file: Path | None = None
) -> Information:
    address = parse_address(f"{services.base}/is", "the service")
    service = Service(Http(address), "the information service", 5.0)
    return Information(service, clock or FakeClock(), sites_file=file, cache_dir=cache, keep_s=3600.0)


def test_site_and_project_of_a_vo_are_found(services: Egi) -> None:
    place = information(services, None).place("rig-one", VO)
    assert (place.site.endpoint, place.project) == (services.keystone, PROJECT)


def test_the_sites_of_a_vo_come_in_their_order(services: Egi) -> None:
    assert [place.site.name for place in information(services, None).places(VO)] == ["RIG-ONE", "RIG-THREE"]


def test_a_service_that_does_not_know_projects_in_the_list_is_asked_for_them(services: Egi) -> None:
    services.knows_projects = False
    assert information(services, None).place("RIG-ONE", VO).project == PROJECT


def test_an_unknown_site_and_an_unknown_vo_are_told_apart(services: Egi) -> None:
    known = information(services, None)
    with pytest.raises(NotFound, match="has no site"):
        known.place("NOWHERE", VO)
    with pytest.raises(NotFound, match="does not support the VO") as caught:
        known.place("RIG-TWO", VO)
    assert "RIG-ONE" in caught.value.hint


def test_answers_are_kept_for_a_while_and_by_the_next_process(services: Egi, tmp_path: Path) -> None:
    clock = FakeClock()
    information(services, tmp_path / "cache", clock).sites()
    clock.advance(3000)
    information(services, tmp_path / "cache", clock).sites()
    assert len(services.asked) == 1
    clock.advance(700)
    information(services, tmp_path / "cache", clock).sites()
    assert len(services.asked) == 2


def test_where_the_service_does_not_answer_an_old_answer_is_used_and_said(services: Egi, tmp_path: Path) -> None:
    clock = FakeClock()
    information(services, tmp_path / "cache", clock).sites()
    services.status["/is"] = 503
    clock.advance(7200)
    known = information(services, tmp_path / "cache", clock)
    assert known.place("RIG-ONE", VO).project == PROJECT
    assert known.notes == (known.notes[0],)
    assert "HTTP 503" in known.notes[0]
    assert "2.0 hours ago" in known.notes[0]
    with pytest.raises(Transient) as caught:
        information(services, None).sites()
    assert "sites_file" in caught.value.hint


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"form": 99}', b"\xff", b'{"form":1,"source":"x","at":"y","said":[]}']
)
def test_a_broken_cache_is_as_good_as_none(content: bytes, services: Egi, tmp_path: Path) -> None:
    information(services, tmp_path).sites()
    (file,) = tmp_path.glob("*.json")
    file.write_bytes(content)
    assert information(services, tmp_path).place("RIG-ONE", VO).project == PROJECT


def test_a_cache_that_is_from_the_future_or_of_another_service_is_not_used(services: Egi, tmp_path: Path) -> None:
    information(services, tmp_path, FakeClock(2e9)).sites()
    information(services, tmp_path, FakeClock(1e9)).sites()
    assert len(services.asked) == 2
    (file,) = tmp_path.glob("*.json")
    kept = json.loads(file.read_bytes())
    file.write_text(json.dumps({**kept, "source": "https://other.example:443"}))
    information(services, tmp_path, FakeClock(1e9)).sites()
    assert len(services.asked) == 3


def test_a_folder_that_cannot_be_written_fails_nothing(services: Egi, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert information(services, tmp_path / "file" / "cache").sites()


def test_images_of_a_site_are_those_of_the_vo(services: Egi) -> None:
    known = information(services, None)
    images = known.images(known.place("RIG-ONE", VO).site, VO)
    assert [image.egi_id for image in images] == [image["egi_id"] for image in services.images]
    services.images[0]["id"] = "https://one.example/v3#abc"
    assert information(services, None).images(known.place("RIG-ONE", VO).site, VO)[0].id == "abc"
    assert known.images(known.sites()[1], VO) == ()


def test_a_file_of_sites_needs_no_service(services: Egi, tmp_path: Path) -> None:
    file = tmp_path / "sites.yaml"
    image = "images: [{egi_id: 'e/u:1', id: g1}, {egi_id: 'e/u:2', id: g2, vo: other}]"
    file.write_text(f"gocdb: MINE\nendpoint: https://mine\nvos: [{{name: v, auth: {{project_id: p}}}}]\n{image}\n")
    known = information(services, None, file=file)
    place = known.place("MINE", "v")
    assert place.project == "p"
    assert [one.id for one in known.images(place.site, "v")] == ["g1"]
    assert services.asked == []


@pytest.mark.parametrize("body", ["<html>", "{}", '[{"name": 3}]'])
def test_what_is_no_information_service_is_named(body: str, services: Egi, monkeypatch: pytest.MonkeyPatch) -> None:
    services.sites = json.loads(body) if body.startswith("[") else []
    if not services.sites:
        monkeypatch.setattr("tests.rigs.egi._Handler._information", lambda self, *_: self._text(body))
    with pytest.raises(Misconfigured, match="none of its JSON"):
        information(services, None).sites()
