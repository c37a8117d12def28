"""Which release a machine gets."""

import platform

import pytest

from im_client.plan.model import Spec
from im_client.providers.local.mirror import Release, choose_release, host_release
from im_client.providers.local.settings import LocalSettings
from infracore.errors import Unsupported

HOST = Release("debian", "bookworm")


@pytest.mark.parametrize(
    ("text", "release"),
    [
        ("ID=debian\nVERSION_CODENAME=trixie\n", Release("debian", "trixie")),
        ('ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\nUBUNTU_CODENAME="noble"\n', Release("ubuntu", "noble")),
        (
            'ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_CODENAME=wilma\nUBUNTU_CODENAME=noble\n',
            Release("ubuntu", "noble"),
        ),
        ("ID=fedora\nVERSION_ID=42\n", None),
    ],
)
def test_a_computer_knows_its_own_release(text: str, release: Release | None) -> None:
    assert host_release(text) == release


@pytest.mark.parametrize(
    ("spec", "suite"),
    [
        (Spec(), "bookworm"),
        (Spec(os_type="linux", os_distribution="debian"), "bookworm"),
        (Spec(os_distribution="Debian", os_version="13"), "trixie"),
        (Spec(os_distribution="debian", os_version="12.5"), "bookworm"),
        (Spec(os_version="bullseye"), "bullseye"),
        (Spec(image="local://debian/13"), "trixie"),
        (Spec(image="trixie"), "trixie"),
        (Spec(architecture=platform.machine()), "bookworm"),
    ],
)
def test_a_template_chooses_among_releases(spec: Spec, suite: str) -> None:
    assert choose_release(spec, LocalSettings(), HOST) == Release("debian", suite)


def test_a_setting_is_the_default_and_the_template_wins() -> None:
    settings = LocalSettings(suite="trixie")
    assert choose_release(Spec(), settings, HOST).suite == "trixie"
    assert choose_release(Spec(os_version="12"), settings, HOST).suite == "bookworm"


@pytest.mark.parametrize(
    "spec",
    [
        Spec(os_distribution="ubuntu", os_version="24.04"),
        Spec(os_distribution="rocky"),
        Spec(os_distribution="debian", os_version="99"),
        Spec(image="ost://cloud.example/0123-4567"),
        Spec(architecture="sparc"),
        Spec(os_type="windows"),
    ],
)
def test_what_no_archive_has_is_refused_with_a_hint(spec: Spec) -> None:
    with pytest.raises(Unsupported) as caught:
        choose_release(spec, LocalSettings(), HOST)
    assert caught.value.hint


def test_another_distribution_needs_a_mirror() -> None:
    spec = Spec(os_distribution="ubuntu", os_version="24.04")
    settings = LocalSettings(mirror="http://archive.example/ubuntu")
    assert choose_release(spec, settings, HOST) == Release("ubuntu", "noble")
