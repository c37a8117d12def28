"""Disks that a template asks for."""

import pytest

from im_client.plan.model import Spec, SpecVolume
from im_client.providers.local.nspawn_provider import wanted_volumes
from infracore.errors import Unsupported


def test_a_volume_without_size_is_none() -> None:
    assert wanted_volumes(Spec(volumes=(SpecVolume("v", 0),))) == ()


def test_volumes_keep_their_order_and_place() -> None:
    volumes = (SpecVolume("data", 2**20, "/data"), SpecVolume("scratch", 2**21, "/scratch", fs_type="ext3"))
    assert [(v.name, v.mount_path, v.fs_type) for v in wanted_volumes(Spec(volumes=volumes))] == [
        ("disk0", "/data", "ext4"),
        ("disk1", "/scratch", "ext3"),
    ]


@pytest.mark.parametrize(
    "volume",
    [
        SpecVolume("v", 2**20),
        SpecVolume("v", 2**20, "data"),
        SpecVolume("v", 2**20, "/data", fs_type="ntfs"),
        SpecVolume("v", 2**20, "/data", volume_id="vol-1"),
    ],
)
def test_a_volume_that_cannot_be_made_is_refused(volume: SpecVolume) -> None:
    with pytest.raises(Unsupported):
        wanted_volumes(Spec(volumes=(volume,)))
