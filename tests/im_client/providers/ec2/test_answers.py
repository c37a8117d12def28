"""What answers, and is not EC2: nothing is learned from it."""

from collections.abc import Iterator

import pytest

from im_client.providers.ec2.account import Account
from im_client.providers.ec2.client import Client
from im_client.providers.ec2.cloud import Ec2
from im_client.providers.ec2.settings import Ec2Settings
from infracore.errors import NotFound, Transient, Unauthorised
from infracore.secrets import Secret
from tests.rigs.faults import Fault, FaultProxy, faults

_LOGIN = "<html><head><title>Log in to the network</title></head><body/></html>"
_NONE = '<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">{}</DescribeInstancesResponse>'


@pytest.fixture(scope="module")
def proxy() -> Iterator[FaultProxy]:
    with faults("http://127.0.0.1:9") as proxy:
        yield proxy


@pytest.fixture(scope="module")
def cloud(proxy: FaultProxy) -> Iterator[Ec2]:
    cloud = Ec2(Ec2Settings(), Account("us-east-1", proxy.url, "KEY", Secret("secret")))
    yield cloud
    cloud.close()


@pytest.fixture
def client(cloud: Ec2) -> Client:
    return cloud.client


def says(proxy: FaultProxy, *bodies: str, status: int = 200) -> None:
    proxy.plan(*(Fault(status=status, body=body) for body in bodies))


@pytest.mark.parametrize("status", [200, 202, 204, 302, 401, 404, 500, 503])
@pytest.mark.parametrize("body", [_LOGIN, f"<!DOCTYPE html>\n{_LOGIN}", '{"error": "no"}', "no"])
def test_what_is_no_answer_of_ec2_is_neither_nothing_nor_absence(
    cloud: Ec2, proxy: FaultProxy, status: int, body: str
) -> None:
    for ask in (
        lambda: cloud.server("i-0"),
        lambda: cloud.servers("i"),
        lambda: cloud.delete("i-0"),
        lambda: cloud.things("i"),
    ):
        says(proxy, body, status=status)
        with pytest.raises(Transient):
            ask()


@pytest.mark.parametrize("body", ["", _NONE.format(""), "<DescribeVpcsResponse><vpcSet/></DescribeVpcsResponse>"])
def test_an_answer_without_what_was_asked_for_is_none(cloud: Ec2, proxy: FaultProxy, body: str) -> None:
    says(proxy, body)
    with pytest.raises(Transient, match=r"DescribeInstances at .* did not answer as EC2 does"):
        cloud.server("i-0")


def test_an_answer_that_lists_nothing_is_one(cloud: Ec2, proxy: FaultProxy) -> None:
    says(proxy, f'<?xml version="1.0" encoding="UTF-8"?>\n{_NONE.format("<reservationSet/>")}')
    with pytest.raises(NotFound):
        cloud.server("i-0")


@pytest.mark.parametrize("inner", ["<item/>", "<item><instancesSet><item/></instancesSet></item>"])
def test_a_missing_member_is_the_fault_of_who_answered(cloud: Ec2, proxy: FaultProxy, inner: str) -> None:
    says(proxy, _NONE.format(f"<reservationSet>{inner}</reservationSet>"))
    with pytest.raises(Transient, match="did not answer as EC2 does: no Instance"):
        cloud.servers("i")
    says(proxy, "<DescribeAvailabilityZonesResponse/>")
    with pytest.raises(Transient, match="no AvailabilityZones"):
        cloud.check()


def test_an_empty_list_where_one_must_be_is_too(client: Client, proxy: FaultProxy) -> None:
    says(proxy, _NONE.format("<reservationSet/>"))
    with pytest.raises(Transient, match="a list of 0"):
        _ = client.ask("describe_instances")["Reservations"][0]


def test_a_refusal_of_ec2_is_known_as_one(client: Client, proxy: FaultProxy) -> None:
    refusal = "<Response><Errors><Error><Code>AuthFailure</Code><Message>no</Message></Error></Errors></Response>"
    says(proxy, refusal, status=401)
    with pytest.raises(Unauthorised, match="AuthFailure"):
        client.ask("describe_instances")


def test_pages_that_never_end_are_an_error(client: Client, proxy: FaultProxy) -> None:
    page = _NONE.format("<reservationSet/><nextToken>{}</nextToken>")
    says(proxy, page.format("a"), page.format("b"), page.format("a"), page.format("b"))
    with pytest.raises(Transient, match="the same page again and again"):
        client.every("describe_instances", "Reservations")
