"""Prices that people set: checked when they are read, and the most exact word for a size counts."""

import pytest

from im_client.providers.cloud.settings import CloudSettings
from im_client.providers.fake_settings import FakeSettings
from im_client.providers.prices import set_price
from im_client.providers.registry import decode_settings
from infracore.errors import Misconfigured
from infracore.exitcodes import ExitCode

BAD = [float("nan"), float("inf"), float("-inf"), -0.01, "nan"]


@pytest.mark.parametrize("price", BAD)
def test_what_nobody_can_pay_is_no_price(price: object) -> None:
    size = {"name": "small", "num_cpus": 1, "mem_bytes": 1, "price": price}
    for settings, kind in (({"prices": {"small": price}}, CloudSettings), ({"sizes": [size]}, FakeSettings)):
        with pytest.raises(Misconfigured, match=r"the price of small is .*, and not 0 or more") as caught:
            decode_settings("x", settings, kind)
        assert caught.value.exit_code is ExitCode.INVALID


def test_a_machine_may_cost_nothing() -> None:
    assert decode_settings("x", {"prices": {"small": 0}}, CloudSettings).prices == {"small": 0.0}


@pytest.mark.parametrize("kind", [CloudSettings, FakeSettings])
def test_a_currency_is_three_letters_in_either_case(kind: type[CloudSettings] | type[FakeSettings]) -> None:
    assert decode_settings("x", {"currency": "eur"}, kind).currency == "EUR"
    for word in ("", "euro", "E1R", "€", "äöü"):
        with pytest.raises(Misconfigured, match="not three letters"):
            decode_settings("x", {"currency": word}, kind)


@pytest.mark.parametrize(
    ("size", "price"), [("m5.large", 0.11), ("m5.xlarge", 0.2), ("m5.huge", 0.5), ("t3.nano", 1.0)]
)
def test_the_very_name_counts_then_the_longest_pattern(size: str, price: float) -> None:
    prices = {"*": 1.0, "m5.*": 0.5, "m5.*large": 0.2, "m5.large": 0.11}
    assert set_price(prices, size) == set_price(dict(reversed(prices.items())), size) == price


def test_a_name_with_brackets_is_itself_and_no_pattern() -> None:
    assert set_price({"*": 1.0, "gpu[a]": 0.5}, "gpu[a]") == 0.5
    assert set_price({"m*": 1.0}, "t1") is None
