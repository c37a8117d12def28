"""Which image a machine gets, and what its account is. Nothing is asked of a host."""

from typing import Any

import pytest

from im_client.plan.model import Spec
from im_client.providers.libvirt.base_images import BaseImages, account_of
from im_client.providers.libvirt.settings import ImageSettings, LibvirtSettings
from im_client.providers.libvirt.storage import Storage
from im_client.providers.libvirt.virsh import Virsh
from infracore.errors import InfraError, NotFound, Unsupported

IMAGES = {
    "debian-12": ImageSettings(path="/a"),
    "ubuntu-22.04": ImageSettings(path="/b", architecture="x86_64"),
    "own": ImageSettings(path="/c", distribution="debian", version="13", user="admin"),
}


def _images(**settings: Any) -> BaseImages:
    return BaseImages(Storage(Virsh("test:///default"), "default", 1.0), None, LibvirtSettings(**settings))


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (Spec(os_distribution="debian", os_version="12"), "debian-12"),
        (Spec(os_distribution="debian", os_version="12.0"), "debian-12"),  # as TOSCA's type `version` writes it
        (Spec(os_distribution="debian", os_version="bookworm"), "debian-12"),
        (Spec(os_distribution="debian", os_version="13.0"), "own"),
        (Spec(os_distribution="Ubuntu", os_version="22.04"), "ubuntu-22.04"),
        (Spec(image="libvirt://anywhere/own"), "own"),
        (Spec(image="ubuntu-*"), "ubuntu-22.04"),
        (Spec(), "own"),
    ],
)
def test_the_image_is_what_the_template_says(spec: Spec, name: str) -> None:
    assert _images(images=IMAGES, image="own").choose(spec).name == name


@pytest.mark.parametrize(
    ("settings", "spec", "kind", "words"),
    [
        ({"images": IMAGES}, Spec(os_distribution="debian", os_version="11"), NotFound, "there are: debian-12, own"),
        ({"images": IMAGES}, Spec(image="imc.base.x.qcow2"), NotFound, "there are"),
        ({"images": IMAGES}, Spec(image="../../etc/shadow"), NotFound, "there are"),
        ({"images": IMAGES}, Spec(image="ost://cloud.example/0123"), Unsupported, "libvirt://"),
        ({}, Spec(), NotFound, "set `images`"),
    ],
)
def test_an_image_that_is_not_to_be_had_is_refused_with_what_there_is(
    settings: dict[str, Any], spec: Spec, kind: type[InfraError], words: str
) -> None:
    with pytest.raises(kind) as caught:
        _images(**settings).choose(spec)
    assert words in caught.value.hint


def test_the_account_is_the_templates_the_images_the_settings_or_the_distributions() -> None:
    image = ImageSettings(path="/a", distribution="debian")
    assert account_of(image, Spec(user="me"), "set") == "me"
    assert account_of(ImageSettings(path="/a", user="admin"), Spec(), "set") == "admin"
    assert account_of(image, Spec(), "set") == "set"
    assert account_of(image, Spec(), "") == "debian"
    assert account_of(ImageSettings(path="/a"), Spec(), "") == "root"
