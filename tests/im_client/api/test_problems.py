"""Which status an error becomes."""

import pytest

from im_client.api.problems import status_of
from infracore.errors import InfraError, InvalidUsage, Misconfigured, NoSpace, NotFound, Several, Transient


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NoSpace("full"), 507),
        (Misconfigured("no such file"), 400),
        (Transient("busy"), 503),
        (InvalidUsage("what"), 400),
        (Several([NotFound("a"), NotFound("b")]), 404),
        (Several([NotFound("a"), NoSpace("b")]), 400),
    ],
)
def test_an_error_has_its_status(error: InfraError, status: int) -> None:
    assert status_of(error) == status
