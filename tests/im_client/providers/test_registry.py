"""Providers by name."""

import pytest

from im_client.providers import registry
from infracore.errors import InvalidUsage, Misconfigured


def test_every_name_opens_a_provider_of_that_name() -> None:
    assert registry.names() == ("existing", "fake", "im", "libvirt", "local")
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
