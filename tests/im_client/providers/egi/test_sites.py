"""Sites, projects and images: which one is meant."""

import pytest

from im_client.providers.egi.sites import (
    ImageAddress,
    Site,
    SiteImage,
    find_image,
    find_site,
    image_address_of,
    of_vo,
    project_of,
)
from infracore.errors import Misconfigured, NotFound, Unsupported

ONE = Site("CESGA-CLOUD", "https://one.example:5000/v3", {"vo.a": "p1", "vo.b": "p2"}, gocdb="CESGA", hostname="h.one")
TWO = Site("IFCA-LCG2", "https://two.example:5000/v3", {"vo.a": "p3", "vo.none": ""})
NEW = Site("CESGA-NEW", "https://new.example:5000/v3", {"vo.new": "p4"}, gocdb="CESGA")
SITES = (ONE, TWO, NEW)


@pytest.mark.parametrize("name", ["CESGA-CLOUD", "cesga-cloud", " CESGA-CLOUD ", "one.example", "h.one"])
def test_a_site_is_found_by_its_name_or_host(name: str) -> None:
    assert find_site(SITES, name, "vo.a") is ONE


def test_of_several_clouds_of_one_site_the_one_of_the_vo_is_meant() -> None:
    assert find_site(SITES, "CESGA", "vo.b") is ONE
    assert find_site(SITES, "CESGA", "vo.new") is NEW
    with pytest.raises(Misconfigured, match="has several clouds"):
        find_site(SITES, "CESGA", "vo.none")


def test_an_unknown_site_is_said_with_the_one_that_was_meant() -> None:
    with pytest.raises(NotFound) as caught:
        find_site(SITES, "IFCA-LCG", "vo.a")
    assert caught.value.hint == "did you mean IFCA-LCG2?"
    with pytest.raises(NotFound) as caught:
        find_site(SITES, "", "vo.a")
    assert caught.value.hint == "there are: CESGA-CLOUD, CESGA-NEW, IFCA-LCG2"


def test_the_project_is_that_of_the_vo_and_never_another() -> None:
    assert project_of(ONE, "vo.b") == "p2"
    with pytest.raises(NotFound, match=r"does not support the VO 'vo\.c'"):
        project_of(ONE, "vo.c")
    with pytest.raises(NotFound, match="says of no project"):
        project_of(TWO, "vo.none")


def test_a_vo_that_a_site_does_not_support_is_said_with_those_and_with_its_sites() -> None:
    with pytest.raises(NotFound) as caught:
        project_of(TWO, "vo.b", SITES)
    assert "it supports" in caught.value.hint or "did you mean" in caught.value.hint
    assert "sites of the VO: CESGA-CLOUD" in caught.value.hint


def test_the_sites_of_a_vo_are_those_with_a_project_in_their_order() -> None:
    assert of_vo(SITES, "vo.a") == (ONE, TWO)
    with pytest.raises(NotFound, match="no site"):
        of_vo(SITES, "vo.none")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("appdb://SITE/egi.ubuntu.22.04?vo.a", ImageAddress("SITE", "egi.ubuntu.22.04", "vo.a")),
        ("appdb://SITE/egi_vm_images/ubuntu:22.04", ImageAddress("SITE", "egi_vm_images/ubuntu:22.04", "")),
        ("APPDB://egi.ubuntu.22.04?vo.a", ImageAddress("", "egi.ubuntu.22.04", "vo.a")),
        ("appdb://S/a%20b", ImageAddress("S", "a b", "")),
        ("ost://host/id", None),
        ("ubuntu:22.04", None),
    ],
)
def test_addresses_of_images(text: str, address: ImageAddress | None) -> None:
    assert image_address_of(text) == address


@pytest.mark.parametrize("text", ["appdb://", "appdb://SITE/", "appdb://?vo"])
def test_an_address_without_an_image_is_refused(text: str) -> None:
    with pytest.raises(Unsupported):
        image_address_of(text)


OLD = SiteImage(
    "egi_vm_images/ubuntu:22.04", "1", "u", "2024.9.30", "registry.egi.eu/egi_vm_images/ubuntu:22.04-sha256:a"
)
NEWER = SiteImage(
    "egi_vm_images/ubuntu:22.04", "2", "u", "2024.10.1", "registry.egi.eu/egi_vm_images/ubuntu:22.04-sha256:b"
)
ALMA = SiteImage("egi_vm_images/alma:9", "3", "a", "2025-01-01", "registry.egi.eu/egi_vm_images/alma:9-sha256:c")
APPDB = SiteImage(
    "egi.ubuntu.20.04", "4", mpuri="https://appdb.egi.eu/store/vo/image/83d5e854-a128-5b1f-9457-d32e10a720a6:8135/"
)


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("egi_vm_images/ubuntu:22.04", NEWER),
        ("ubuntu:22.04", NEWER),
        ("registry.egi.eu/egi_vm_images/ubuntu:22.04", NEWER),
        ("registry.egi.eu/egi_vm_images/ubuntu:22.04-sha256:a", OLD),
        ("1", OLD),
        ("egi.ubuntu.20.04", APPDB),
        ("83d5e854-a128-5b1f-9457-d32e10a720a6:8135", APPDB),
        ("ubuntu:24.04", None),
        ("buntu:22.04", None),
        ("22.04", None),
    ],
)
def test_an_image_is_found_by_the_names_that_people_write(name: str, image: SiteImage | None) -> None:
    assert find_image([OLD, NEWER, ALMA, APPDB], name) == image
