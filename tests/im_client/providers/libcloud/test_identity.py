"""Which place a provider says it asks."""

from tests.im_client.providers.libcloud.conftest import Opened


def test_another_region_or_address_is_another_place_and_another_process_is_not(kind: str, opened: Opened) -> None:
    one = opened().identity()
    assert one.split(" ")[0] == kind
    assert opened().identity() == one
    assert opened(region="elsewhere").identity() != one
    assert opened(address="http://127.0.0.1:9").identity() != one
