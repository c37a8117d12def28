"""Rate and time left."""

from im_client.flash.model import Phase
from im_client.flash.progress import Meter


def test_rate_and_time_left_follow_the_last_seconds() -> None:
    meter = Meter("node-1", Phase.WRITE, 1000, window_s=4.0)
    first = meter.at(100.0, 0)
    assert (first.rate, first.left_s, first.share) == (0.0, None, 0.0)
    assert meter.at(101.0, 100).left_s == 9.0
    meter.at(105.0, 100)  # nothing for a while
    late = meter.at(106.0, 300)
    assert late.rate == 40.0
    assert late.left_s == 17.5
    assert meter.at(107.0, 1000).left_s == 0.0


def test_without_a_whole_nothing_is_promised() -> None:
    meter = Meter("node-1", Phase.WRITE, None)
    meter.at(0.0, 0)
    now = meter.at(2.0, 500)
    assert (now.rate, now.left_s, now.share, now.total) == (250.0, None, None, None)


def test_an_empty_whole_is_done() -> None:
    assert Meter("a", Phase.VERIFY, 0).at(1.0, 0).share == 1.0
