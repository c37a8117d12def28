"""Forms that come, or do not."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from im_client.api.dashboard.visit import _read
from im_client.api.problems import Refused

_KIND = (b"content-type", b"application/x-www-form-urlencoded")


def test_a_form_that_never_ends_keeps_no_connection() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"a", "more_body": True}

    request = Request({"type": "http", "method": "POST", "headers": [_KIND]}, receive)
    with pytest.raises(Refused) as caught:
        asyncio.run(asyncio.wait_for(_read(request, limit_s=0.05), 5))
    assert caught.value.status == 408
