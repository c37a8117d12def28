"""A bad day at EC2: what is tried again, what is not, and that nothing is there twice."""

import pytest

from im_client.plan.model import Phase
from infracore.errors import NoCapacity, NotFound, QuotaExceeded, TimedOut, Unauthorised
from tests.im_client.providers.ec2.conftest import Site
from tests.rigs.faults import Fault
from tests.rigs.moto import refusal

pytestmark = pytest.mark.slow


def test_a_throttled_request_waits_as_long_as_it_is_told(site: Site) -> None:
    site.proxy.plan(refusal("RequestLimitExceeded", 503, times=2, headers={"Retry-After": "40"}))
    begun = site.clock.now()
    site.provider().create(site.request())
    assert site.proxy.count("RunInstances") == 3
    assert site.clock.now() - begun >= 80
    assert site.moto.left()["instances"] == 1


@pytest.mark.parametrize("fault", [Fault("RunInstances", cuts=True), Fault("RunInstances", drops=True)])
def test_an_answer_that_is_lost_on_its_way_makes_no_second_machine(site: Site, fault: Fault) -> None:
    """moto takes no client token, so that it is found by its mark."""
    site.proxy.plan(fault)
    machine = site.provider().create(site.request())
    assert site.moto.left()["instances"] == 1
    assert site.told(machine)["State"]["Name"] == "running"


@pytest.mark.parametrize("what", ["CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "ImportKeyPair"])
def test_what_machines_share_is_made_once_though_its_answer_is_lost(site: Site, what: str) -> None:
    site.proxy.plan(Fault(what, drops=True))
    site.provider().create(site.request())
    left = site.moto.left()
    assert (left["groups"], left["keys"]) == (2, 1)
    groups = site.moto.client.describe_security_groups()["SecurityGroups"]
    assert all(group["IpPermissions"] for group in groups if group["GroupName"] != "default")


def test_an_api_that_does_not_answer_is_given_up_in_time_and_says_which(site: Site) -> None:
    site.proxy.plan(Fault("DescribeImages", hangs=True, times=9))
    with pytest.raises(TimedOut, match=r"DescribeImages at region us-east-1.*\(tried 2 times\)"):
        site.provider(request_s=0.2, attempts=2).create(site.request())
    assert site.moto.left() == {}


def test_an_api_that_is_not_there_is_said_to_be_so(site: Site) -> None:
    down = site.provider(attempts=2)
    site.proxy.plan(Fault(status=503, times=9))
    with pytest.raises(TimedOut):
        down.list_machines()
    findings = down.check()
    assert [finding.severity for finding in findings] == ["error"]
    assert findings[0].remedy is not None


@pytest.mark.parametrize("code", ["AuthFailure", "UnauthorizedOperation", "ExpiredToken"])
def test_refused_keys_of_the_auth_file_are_not_tried_again(site: Site, code: str) -> None:
    site.proxy.plan(refusal(code, 403, times=9))
    with pytest.raises(Unauthorised, match=code):
        site.provider().create(site.request())
    assert site.proxy.count("RunInstances") == 1
    assert "instances" not in site.moto.left()


@pytest.mark.usefixtures("aws_keys")
def test_keys_of_the_environment_that_expire_half_way_are_looked_up_anew(site: Site) -> None:
    site.proxy.plan(refusal("ExpiredToken", 400))
    site.provider(key="").create(site.request())
    assert site.proxy.count("RunInstances") == 2
    assert site.moto.left()["instances"] == 1


def test_a_zone_without_room_is_followed_by_the_next(site: Site) -> None:
    site.proxy.plan(refusal("InsufficientInstanceCapacity", 500, times=2))
    machine = site.provider().create(site.request())
    assert site.proxy.count("RunInstances") == 3
    assert site.told(machine)["Placement"]["AvailabilityZone"] == "us-east-1c"


def test_a_zone_that_the_template_names_has_no_next(site: Site) -> None:
    site.proxy.plan(refusal("InsufficientInstanceCapacity", 500, times=99))
    with pytest.raises(NoCapacity):
        site.provider().create(site.request(availability_zone="us-east-1b"))
    assert site.proxy.count("RunInstances") == 1


def test_spot_without_room_becomes_an_ordinary_machine_unless_that_is_not_wanted(site: Site) -> None:
    asked = {"availability_zone": "us-east-1b", "preemptible": True}
    site.proxy.plan(refusal("MaxSpotInstanceCountExceeded"))
    site.provider().create(site.request(**asked))
    assert site.proxy.count("RunInstances") == 2
    site.proxy.plan(refusal("InsufficientInstanceCapacity", 500))
    with pytest.raises(NoCapacity):
        site.provider(spot_fallback=False).create(site.request("wn-2", **asked))
    assert site.moto.left()["instances"] == 1


def test_an_exhausted_quota_is_the_same_in_every_zone(site: Site) -> None:
    site.proxy.plan(refusal("VcpuLimitExceeded", times=9))
    with pytest.raises(QuotaExceeded, match="VcpuLimitExceeded"):
        site.provider().create(site.request())
    assert site.proxy.count("RunInstances") == 1


def test_what_somebody_removed_meanwhile_is_made_again(site: Site) -> None:
    provider = site.provider()
    first = provider.create(site.request("wn-1"))
    provider.delete(first.provider_id)
    assert provider.release("i") == []
    other = site.provider()
    other.create(site.request("wn-2"))
    assert other.release("i") != []  # in use
    provider.create(site.request("wn-3"))
    assert site.moto.left()["groups"] == 2


def test_a_machine_that_is_not_listed_yet_is_pending_and_one_that_is_deleted_is_gone(site: Site) -> None:
    provider = site.provider()
    request = site.request()
    machine = provider.create(request)
    site.proxy.plan(refusal("InvalidInstanceID.NotFound", what="DescribeInstances"))
    assert provider.get(machine.provider_id).phase is Phase.PENDING
    assert provider.get(machine.provider_id).phase is Phase.RUNNING
    provider.delete(machine.provider_id)
    with pytest.raises(NotFound):
        provider.get(machine.provider_id)
