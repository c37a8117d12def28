"""EGI's services with a small cloud behind the Keystone, and nothing of whoever runs the tests."""

import os
from collections.abc import Iterator

import pytest

from tests.im_client.providers.openstack.small_cloud import SmallCloud, small_cloud
from tests.rigs.egi import Egi, egi


@pytest.fixture
def cloud() -> Iterator[SmallCloud]:
    with small_cloud() as running:
        yield running


@pytest.fixture
def services(cloud: SmallCloud) -> Iterator[Egi]:
    with egi() as running:
        running.login = cloud.login
        for one in running.images:
            made = cloud.images.pop(cloud.image(one["name"]))
            cloud.images[one["id"]] = {**made, "id": one["id"]}
        yield running


@pytest.fixture(autouse=True)
def no_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("OIDC_", "EGI_", "FEDCLOUD_", "OS_")) or name == "ACCESS_TOKEN":
            monkeypatch.delenv(name)
