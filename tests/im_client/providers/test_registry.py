"""Providers by name."""

import pytest

from im_client.auth.authfile import parse_auth
from im_client.providers import registry
from infracore.errors import InvalidUsage, Misconfigured


def test_every_name_opens_a_provider_of_that_name() -> None:
    assert {"egi", "existing", "fake", "gce", "im", "libvirt", "local", "openstack"} <= set(registry.names())
    assert registry.provider("fake").name == "fake"


def test_an_unknown_provider_is_not_found_and_the_hint_names_the_known() -> None:
    with pytest.raises(InvalidUsage) as caught:
        registry.provider("nimbus")
    assert "local" in caught.value.hint


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"brigde": "x0"}, "brigde"),
        ({"stop_timeout_s": "soon"}, "stop_timeout_s"),
        ({"kind": "docker"}, "kind"),
        ({"network": "10.1.0.0/16"}, "network"),
        ({"network": "ten"}, "ten"),
        ({"apt_proxy": "proxy:3142"}, "apt_proxy"),
        ({"bridge": "a bridge"}, "bridge"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, object], word: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        registry.provider("local", settings)
    assert word in caught.value.message


def test_a_line_is_named_by_its_id_and_one_for_several_places_also_with_the_place() -> None:
    lines = parse_auth(
        "id = one; type = EGI; x = y\nid = all; type = EGIIS; x = y\nid = im; type = InfrastructureManager"
    )
    assert registry.line_of("one", lines) == ("egi", {"credential": "one"})
    assert registry.line_of("all", lines) == ("egi", {"credential": "all"})
    assert registry.line_of("all.CESGA-CLOUD", lines) == ("egi", {"credential": "all", "site": "CESGA-CLOUD"})
    for name in ("one.CESGA", "all.", "im", "none", ""):
        assert registry.line_of(name, lines) is None
    assert registry.places("one", {}, lines) == ()
