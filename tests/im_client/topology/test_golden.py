"""Golden images by name and by address."""

import pytest

from im_client.topology.golden import golden_address, golden_parts, split_image

ADDRESS = "golden://campus/web-1"


def test_an_address_says_site_and_name_and_a_name_says_no_site() -> None:
    assert golden_address("campus", "web-1") == ADDRESS
    assert golden_parts(ADDRESS) == ("campus", "web-1")
    assert golden_parts("web-1") == (None, "web-1")
    assert golden_parts("golden://campus") == ("campus", "")


@pytest.mark.parametrize(
    ("url", "golden", "found"),
    [
        (None, None, (None, None)),
        ("ost://site/1", "web-1", ("ost://site/1", "web-1")),
        (ADDRESS, None, (None, ADDRESS)),
        (ADDRESS, "other", (None, "other")),
    ],
)
def test_the_address_of_a_golden_image_is_no_image_of_the_provider(
    url: str | None, golden: str | None, found: tuple[str | None, str | None]
) -> None:
    assert split_image(url, golden) == found
