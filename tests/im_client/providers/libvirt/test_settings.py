"""Settings: what is refused, and that the message says why."""

from typing import Any

import pytest

from im_client.providers.libvirt.scrub_disk import partitions
from im_client.providers.registry import names, provider
from infracore.errors import Misconfigured

SHA = "0" * 64


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"uri": "http://x"}, "uri"),
        ({"uri": "qemu:///system; rm -rf /"}, "uri"),
        ({"uri": "-c"}, "uri"),
        ({"pool": "--all"}, "--all"),
        ({"pool": "a/b"}, "a/b"),
        ({"network": "a\nb"}, "a"),
        ({"accelerate": "yes"}, "accelerate"),
        ({"make_networks": "routed"}, "make_networks"),
        ({"colour": "red"}, "colour"),
        ({"images": {"a": {}}}, "path"),
        ({"images": {"a": {"path": "/x", "url": "https://h/x", "sha256": SHA}}}, "path"),
        ({"images": {"a": {"url": "https://h/x"}}}, "sha256"),
        ({"images": {"a": {"url": "http://h/x", "sha256": SHA}}}, "https"),
        ({"images": {"a": {"path": "/x", "sha256": "ABC"}}}, "sha256"),
        ({"images": {"a": {"path": "x"}}}, "absolute"),
        ({"images": {"a": {"path": "/x", "initrd": "/i"}}}, "kernel"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(Misconfigured, match=word):
        provider("libvirt", settings)


@pytest.mark.parametrize(
    "uri",
    [
        "qemu:///system",
        "qemu:///session",
        "qemu+ssh://root@host.example/system",
        "qemu+ssh://host:2222/session?keyfile=/k",
        "qemu+unix:///system?socket=/run/x",
    ],
)
def test_all_ways_to_a_host_are_taken(uri: str) -> None:
    assert provider("libvirt", {"uri": uri}).name == "libvirt"
    assert "libvirt" in names()


def test_partitions_are_read_and_a_disk_without_any_has_none() -> None:
    assert partitions("START SECTORS\n2048 100\n4096 8\n") == [(1048576, 51200), (2097152, 4096)]
    assert partitions("") == []
