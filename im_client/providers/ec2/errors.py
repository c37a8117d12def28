"""EC2's error codes in our classes.

Codes: "Error codes for the Amazon EC2 API" of the EC2 API reference.
"""

from typing import Any, Final

from im_client.providers.cloud.pauses import retry_after_s
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

__all__ = ["code_of", "has_no_room", "translated"]

_UNAUTHORISED: Final = frozenset({
    "AuthFailure", "UnauthorizedOperation", "ExpiredToken", "RequestExpired", "InvalidClientTokenId",
    "SignatureDoesNotMatch", "IncompleteSignature", "MissingAuthenticationToken", "UnrecognizedClientException",
    "AccessDenied", "AccessDeniedException", "OptInRequired", "Blocked", "PendingVerification",
})  # fmt: skip
_THROTTLED: Final = frozenset({
    "RequestLimitExceeded", "Throttling", "ThrottlingException", "RequestThrottled", "RequestThrottledException",
    "EC2ThrottledException", "TooManyRequestsException", "SlowDown", "BandwidthLimitExceeded",
})  # fmt: skip
_PASSING: Final = frozenset({
    "InternalError", "InternalFailure", "ServerInternal", "ServiceUnavailable", "Unavailable",
    "IdempotentParameterMismatch",  # made a moment ago with this token, and not listed yet
})  # fmt: skip
_NO_CAPACITY: Final = frozenset({
    "InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientReservedInstanceCapacity",
    "InsufficientCapacity", "InsufficientVolumeCapacity", "InsufficientAddressCapacity",
    "InsufficientFreeAddressesInSubnet", "SpotMaxPriceTooLow",
    "Unsupported",  # RunInstances: this zone has no such instance type; another may
})  # fmt: skip
_QUOTA: Final = frozenset(
    {"MaxSpotInstanceCountExceeded", "MaxSpotFleetRequestCountExceeded", "AttachmentLimitExceeded"}
)
_CONFLICT: Final = frozenset({
    "DependencyViolation", "IncorrectState", "IncorrectInstanceState", "VolumeInUse", "ResourceAlreadyExists",
    "Resource.AlreadyAssociated", "ResourceAlreadyAssigned", "OperationNotPermitted",
})  # fmt: skip
_MOST: Final = 300
"""Letters of a message: a refusal may carry a kilobyte of encoded policy."""


def code_of(error: Exception) -> str:
    """Return the code of an answer's error, "" for an error that is no answer."""
    response: Any = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def has_no_room(code: str) -> bool:
    """Say whether another place may have what came to nothing here: `Server.InsufficientInstanceCapacity`."""
    word = code.rpartition(".")[2]
    return word in _NO_CAPACITY or word in _QUOTA or word.endswith(("LimitExceeded", "QuotaExceeded"))


def translated(error: Exception, operation: str, place: str) -> InfraError:
    """Return one of botocore's errors as ours. The message names the call and the place."""
    code = code_of(error)
    if code:
        return _answered(error, code, f"{operation} at {place}")
    import botocore.exceptions as vendor

    where = f"{operation} at {place}"
    text = str(error)[:_MOST]
    if isinstance(
        error,
        vendor.NoCredentialsError
        | vendor.PartialCredentialsError
        | vendor.CredentialRetrievalError
        | vendor.TokenRetrievalError
        | vendor.SSOError,
    ):
        return Unauthorised(
            f"there are no credentials for {place}: {text}",
            "add to the auth file: id = ec2; type = EC2; username = ACCESS_KEY; password = SECRET_KEY",
        )
    if isinstance(error, vendor.NoRegionError):
        return Misconfigured("no region of EC2 is known", "set providers.ec2.region, or AWS_REGION")
    if isinstance(error, vendor.ProfileNotFound | vendor.ConfigParseError | vendor.InvalidConfigError):
        return Misconfigured(f"AWS's configuration is wrong: {text}")
    if isinstance(error, vendor.ParamValidationError):
        return Unsupported(f"{where} cannot be asked for: {text}")
    if isinstance(
        error, vendor.InvalidRegionError | vendor.EndpointProviderError | vendor.InvalidEndpointConfigurationError
    ):
        return Misconfigured(f"region or endpoint of {place} is none that can be asked", "set providers.ec2.region")
    if type(error) is vendor.HTTPClientError:  # its words may be those of a header: a key or a token
        cause = getattr(error, "kwargs", {}).get("error")
        if isinstance(cause, ValueError):
            return Misconfigured(f"{where} cannot be sent", "look at keys, token and endpoint: they hold odd letters")
        text = type(cause).__name__
    return Transient(f"{where} got no whole answer: {text}", f"is {place} reachable from here?")


def _answered(error: Exception, code: str, where: str) -> InfraError:
    response: Any = error.response  # type: ignore[attr-defined]  # botocore's ClientError
    said = str(response["Error"].get("Message", "")).strip()[:_MOST]
    message = f"{where}: {said or 'refused'} ({code})"
    meta = response.get("ResponseMetadata", {})
    status = int(meta.get("HTTPStatusCode", 0) or 0)
    found: InfraError
    if code in _UNAUTHORISED or status == 401:
        found = Unauthorised(message, "check the keys of the auth file and what they allow")
    elif code in _THROTTLED or code in _PASSING or status == 429 or (status >= 500 and code not in _NO_CAPACITY):
        found = Transient(message, "", retry_after_s(meta.get("HTTPHeaders", {})))
    elif code in _NO_CAPACITY:
        found = NoCapacity(message, "another zone, size or site may have room")
    elif code in _QUOTA or code.endswith(("LimitExceeded", "QuotaExceeded")):
        found = QuotaExceeded(message, "ask Amazon for more (Service Quotas), or use another site")
    elif code in _CONFLICT or code.endswith((".InUse", ".Duplicate", "InUse")):
        found = Conflict(message)
    elif code.endswith((".NotFound", ".Malformed", ".Unavailable", "NotFound")):
        found = NotFound(message)
    elif code in {"UnsupportedOperation", "InvalidAction", "UnknownParameter"} or code.startswith("InvalidParameter"):
        found = Unsupported(message)
    elif status == 403:
        found = Unauthorised(message, "check the keys of the auth file and what they allow")
    else:
        found = CommandFailed(message)
    return found
