"""What a cloud's Retry-After asks for."""

import pytest

from im_client.providers.cloud.pauses import retry_after_s


@pytest.mark.parametrize(
    ("said", "pause"),
    [
        ("12", 12.0),
        ("86400", 86400.0),
        ("9" * 30, 1e9),
        ("1e9", None),
        ("\u00b2", None),
        ("-3", None),
        ("Mon, 30 Nov 2026 11:00:00 GMT", 0.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Mon, 30 Nov 2026 12:00:30 GMT", 30.0),
    ],
)
def test_retry_after_is_read_in_seconds_or_as_a_date(said: str, pause: float | None) -> None:
    date = "Mon, 30 Nov 2026 12:00:00 GMT"
    assert retry_after_s({"Retry-After": said, "Date": date}) == pause
    assert retry_after_s({"retry-after": said, "date": date}) == pause


def test_an_answer_without_the_header_asks_for_nothing() -> None:
    assert retry_after_s({"Date": "Mon, 30 Nov 2026 12:00:00 GMT"}) is None
