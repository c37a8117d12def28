"""Which place a provider says it asks: address, region and project, however they are named by the login."""

from tests.im_client.providers.openstack.conftest import Opened
from tests.im_client.providers.openstack.small_cloud import PASSWORD, SmallCloud


def test_it_is_address_region_and_project_and_no_secret(cloud: SmallCloud, opened: Opened) -> None:
    one, same = opened().identity(), opened(request_s=4.0).identity()
    assert one == same
    kind, address, *rest = one.split(" ")
    assert (kind, address) == ("openstack", f"{cloud.url}/identity")
    assert rest
    assert PASSWORD not in one
    assert opened(region="Elsewhere").identity() != one
