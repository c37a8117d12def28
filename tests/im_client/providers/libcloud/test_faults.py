"""What goes wrong on the way, at each of the five clouds."""

import logging

import pytest

from im_client.plan.model import Phase, Spec
from im_client.providers.base import Severity
from im_client.providers.cloud.provider import CloudProvider
from im_client.providers.libcloud.errors import refusal
from infracore.errors import (
    Conflict,
    InfraError,
    Misconfigured,
    NoCapacity,
    NotFound,
    QuotaExceeded,
    TimedOut,
    Transient,
    Unauthorised,
    Unsupported,
)
from tests.contracts.libcloud_site import CLOUDS
from tests.im_client.providers.libcloud.conftest import Opened, request
from tests.rigs.small_clouds import CloudStack, Fault, SmallApi
from tests.rigs.small_clouds.cloudstack import API_KEY
from tests.rigs.small_clouds.server import TOKEN

MAKES = {
    "azure": "PUT .*/virtualMachines/.*",
    "cloudstack": "POST /client/api",
    "digitalocean": "POST /v2/droplets",
    "gce": "POST .*/instances",
    "linode": "POST /v4/linode/instances",
    "vultr": "POST /v2/instances",
}


def test_an_answer_that_is_lost_makes_no_second_machine(kind: str, cloud: SmallApi, provider: CloudProvider) -> None:
    cloud.faults.append(Fault(MAKES[kind], cut=True))
    made = provider.create(request())
    assert len(cloud.machines) == 1
    assert [machine.provider_id for machine in provider.list_machines("i-1")] == [made.provider_id]


def test_a_busy_cloud_is_asked_again_and_not_before_it_says(kind: str, cloud: SmallApi, opened: Opened) -> None:
    provider = opened()
    cloud.faults.append(Fault(MAKES[kind], 429, {"message": "slow down"}, {"Retry-After": "40"}))
    cloud.faults.append(Fault(MAKES[kind], 503, b"<html>Service Unavailable</html>"))
    provider.create(request())
    assert cloud.count(MAKES[kind]) == 3
    assert provider._clock.monotonic() >= 40  # type: ignore[attr-defined]


def test_a_cloud_that_is_silent_is_given_up_in_time_without_a_secret(
    kind: str, cloud: SmallApi, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    provider = opened(request_s=0.1, attempts=2)
    cloud.faults.append(Fault(".*", hangs=True, times=9))
    with pytest.raises(TimedOut) as caught:
        provider.list_machines()
    assert "in time" in caught.value.message or "reached" in caught.value.message
    assert TOKEN not in f"{caught.value}{caught.value.hint}"
    assert API_KEY not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize("kind", ["digitalocean", "linode", "vultr"], indirect=True)
def test_a_wrong_token_is_unauthorised_and_a_finding(kind: str, cloud: SmallApi, opened: Opened) -> None:
    provider = opened({"token": "wrong-token"})
    with pytest.raises(Unauthorised) as caught:
        provider.create(request())
    assert "wrong-token" not in f"{caught.value}{caught.value.hint}"
    (finding,) = provider.check()
    assert (finding.severity, bool(finding.remedy)) == (Severity.ERROR, True)
    assert not cloud.machines


@pytest.mark.parametrize("kind", ["cloudstack"], indirect=True)
def test_a_wrong_signature_is_unauthorised(cloud: SmallApi, opened: Opened) -> None:
    with pytest.raises(Unauthorised):
        opened({"password": "wrong"}).create(request())


def test_a_region_that_is_not_there_is_a_finding_that_names_those_that_are(kind: str, opened: Opened) -> None:
    (finding,) = opened(region="atlantis").check()
    assert finding.severity is Severity.ERROR
    assert "atlantis" in finding.text
    assert CLOUDS[kind][1] in finding.remedy


def test_no_region_is_misconfigured(opened: Opened) -> None:
    with pytest.raises(Misconfigured, match="not set"):
        opened(region="").offer(Spec(num_cpus=1))


@pytest.mark.parametrize("wrong", ["../../v2/account", "a b", "", "x" * 200, "1?x=y"])
@pytest.mark.parametrize("kind", ["linode"], indirect=True)
def test_an_id_that_no_machine_can_have_is_not_found_and_not_asked_for(
    cloud: SmallApi, provider: CloudProvider, wrong: str
) -> None:
    with pytest.raises(NotFound):
        provider.get(wrong)
    provider.delete(wrong)
    assert cloud.asked == []


@pytest.mark.parametrize("kind", ["linode"], indirect=True)
def test_one_machine_of_a_strange_status_hides_no_other(cloud: SmallApi, provider: CloudProvider) -> None:
    first, second = provider.create(request(name="a")), provider.create(request(name="b"))
    cloud.machines[first.provider_id]["status"] = "billing_suspension"
    phases = {machine.provider_id: machine.phase for machine in provider.list_machines("i-1")}
    assert phases == {first.provider_id: Phase.PENDING, second.provider_id: Phase.RUNNING}


@pytest.mark.parametrize("kind", ["cloudstack"], indirect=True)
def test_a_machine_that_could_not_start_is_failed_and_a_full_account_is_a_quota(
    cloud: CloudStack, provider: CloudProvider
) -> None:
    made = provider.create(request())
    cloud.machines[made.provider_id]["state"] = "Error"
    assert provider.get(made.provider_id).phase is Phase.FAILED
    cloud.limit = 1
    with pytest.raises(QuotaExceeded):
        provider.create(request(name="more"))


def test_an_answer_that_is_not_as_expected_is_one_clear_error(kind: str, cloud: SmallApi, opened: Opened) -> None:
    provider = opened(attempts=1)
    provider.prepare(lambda _: None)
    for body in (
        b"[]",
        b'{"data": 7, "droplets": [{}], "instances": [{}], "items": [{}], "value": [{}]}',
        b"<html>",
        b"\xff\xfe",
    ):
        cloud.faults.append(Fault(".*", 200, body))
        with pytest.raises(TimedOut):
            provider.list_machines()


@pytest.mark.parametrize(
    ("status", "body", "kind_of"),
    [
        (401, '{"id":"Unauthorized","message":"Unable to authenticate you"}', Unauthorised),
        (403, '{"errors":[{"reason":"Your OAuth token is not authorized"}]}', Unauthorised),
        (403, '{"error":{"code":403,"errors":[{"reason":"rateLimitExceeded","message":"Rate"}]}}', Transient),
        (403, '{"error":{"message":"Quota \'CPUS\' exceeded. Limit: 24.0 in region europe-west1."}}', QuotaExceeded),
        (404, '{"error":"Invalid instance."}', NotFound),
        (409, '{"error":{"message":"The resource already exists"}}', Conflict),
        (422, '{"message":"creating this/these droplet(s) will exceed your droplet limit"}', QuotaExceeded),
        (422, '{"message":"Droplet already has a pending event."}', Transient),
        (422, '{"message":"SSH Key is already in use on your account"}', Conflict),
        (422, '{"message":"Size is not available in this region."}', NoCapacity),
        (400, '{"errors":[{"reason":"Linode busy."}]}', Transient),
        (400, '{"errors":[{"reason":"Account Limit reached. Please open a support ticket."}]}', QuotaExceeded),
        (400, '{"error":"Invalid plan chosen."}', Unsupported),
        (431, '{"x":{"errortext":"Unable to execute: entity does not exist"}}', NotFound),
        (431, '{"x":{"errortext":"A key pair with this name already exists."}}', Conflict),
        (533, '{"x":{"errortext":"Unable to create a deployment"}}', NoCapacity),
        (535, '{"x":{"errortext":"Maximum number reached"}}', QuotaExceeded),
        (530, '{"x":{"errortext":"internal"}}', Transient),
        (302, "<html>", Unsupported),
        (500, "", Transient),
    ],
)
def test_a_refusal_is_told_by_status_and_words(status: int, body: str, kind_of: type[InfraError]) -> None:
    found = refusal(status, {}, body, "POST /x", "a cloud")
    assert type(found) is kind_of
    assert "POST /x at a cloud" in found.message


def test_a_refusal_shows_neither_markup_nor_control_signs() -> None:
    found = refusal(500, {"retry-after": "7"}, "<b>a\x1b[31m" + "x" * 9000, "GET /", "a cloud")
    assert isinstance(found, Transient)
    assert found.retry_after_s == 7
    assert "\x1b" not in found.message
    assert len(found.message) < 600
