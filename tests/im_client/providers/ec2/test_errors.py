"""EC2's codes become our classes, whatever the words are."""

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
)
from botocore.parsers import ResponseParserError

from im_client.providers.ec2.errors import has_no_room, translated
from infracore.errors import (
    CommandFailed,
    Conflict,
    InfraError,
    Misconfigured,
    NoCapacity,
    NotFound,
    QuotaExceeded,
    Transient,
    Unauthorised,
    Unsupported,
)


def answered(code: str, status: int = 400, text: str = "no", **headers: str) -> ClientError:
    meta = {"HTTPStatusCode": status, "HTTPHeaders": headers}
    return ClientError({"Error": {"Code": code, "Message": text}, "ResponseMetadata": meta}, "RunInstances")  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("AuthFailure", 401, Unauthorised),
        ("UnauthorizedOperation", 403, Unauthorised),
        ("ExpiredToken", 400, Unauthorised),
        ("RequestExpired", 400, Unauthorised),
        ("OptInRequired", 401, Unauthorised),
        ("SomethingNew", 403, Unauthorised),
        ("RequestLimitExceeded", 503, Transient),
        ("Throttling", 400, Transient),
        ("SomethingNew", 429, Transient),
        ("InternalError", 500, Transient),
        ("Unavailable", 503, Transient),
        ("502", 502, Transient),
        ("IdempotentParameterMismatch", 400, Transient),
        ("InsufficientInstanceCapacity", 500, NoCapacity),
        ("InsufficientFreeAddressesInSubnet", 400, NoCapacity),
        ("SpotMaxPriceTooLow", 400, NoCapacity),
        ("Unsupported", 400, NoCapacity),
        ("InstanceLimitExceeded", 400, QuotaExceeded),
        ("VcpuLimitExceeded", 400, QuotaExceeded),
        ("AddressLimitExceeded", 400, QuotaExceeded),
        ("MaxSpotInstanceCountExceeded", 400, QuotaExceeded),
        ("InvalidInstanceID.NotFound", 400, NotFound),
        ("InvalidAMIID.Malformed", 400, NotFound),
        ("DependencyViolation", 400, Conflict),
        ("IncorrectInstanceState", 400, Conflict),
        ("InvalidIPAddress.InUse", 400, Conflict),
        ("InvalidGroup.Duplicate", 400, Conflict),
        ("UnsupportedOperation", 400, Unsupported),
        ("InvalidParameterCombination", 400, Unsupported),
        ("SomethingNew", 400, CommandFailed),
    ],
)
def test_a_code_has_its_class(code: str, status: int, kind: type[InfraError]) -> None:
    error = translated(answered(code, status), "RunInstances", "region x of EC2")
    assert type(error) is kind
    assert error.message == f"RunInstances at region x of EC2: no ({code})"


def test_retry_after_is_kept() -> None:
    error = translated(answered("Unavailable", 503, **{"retry-after": "7"}), "RunInstances", "x")
    assert isinstance(error, Transient)
    assert error.retry_after_s == 7
    date = translated(answered("Unavailable", 503, **{"retry-after": "Mon, 30 Nov"}), "RunInstances", "x")
    assert isinstance(date, Transient)
    assert date.retry_after_s is None
    odd = translated(answered("Unavailable", 503, **{"retry-after": "\u00b2"}), "RunInstances", "x")
    assert isinstance(odd, Transient)
    assert odd.retry_after_s is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NoCredentialsError(), Unauthorised),
        (NoRegionError(), Misconfigured),
        (InvalidRegionError(region_name="a b"), Misconfigured),
        (HTTPClientError(error=ValueError("Invalid header value b'HIDDEN\\n'")), Misconfigured),
        (HTTPClientError(error=OSError("HIDDEN")), Transient),
        (EndpointConnectionError(endpoint_url="http://x"), Transient),
        (ConnectTimeoutError(endpoint_url="http://x"), Transient),
        (ResponseParserError("no element found"), Transient),
        (ParamValidationError(report="x"), Unsupported),
    ],
)
def test_what_is_no_answer_has_its_class_too(error: Exception, kind: type[InfraError]) -> None:
    found = translated(error, "RunInstances", "x")
    assert type(found) is kind
    assert "HIDDEN" not in found.message + found.hint


def test_a_message_is_never_a_kilobyte_of_policy() -> None:
    assert len(translated(answered("UnauthorizedOperation", 403, "x" * 5000), "RunInstances", "x").message) < 400


@pytest.mark.parametrize(
    ("code", "is_so"),
    [
        ("Server.InsufficientInstanceCapacity", True),
        ("Client.VolumeLimitExceeded", True),
        ("Client.InternalError", False),
        ("Client.InvalidSnapshot.NotFound", False),
    ],
)
def test_a_machine_that_came_to_nothing_says_whether_it_may_be_had_elsewhere(code: str, is_so: bool) -> None:
    assert has_no_room(code) is is_so
