"""What carries our mark and is no machine: addresses, volumes, security groups, key pairs, networks.

Golden images are none of these: they stay when their infrastructure goes. Their snapshots are marked as they go.

One request says what kinds there are (a tag may outlive its thing), one a kind what there really is.
"""

from collections.abc import Mapping
from typing import Any, Final

from im_client.providers.cloud.base import MARK, NAME_MARK, TOKEN_MARK
from im_client.providers.ec2.client import Client
from im_client.providers.ec2.marks import marked, tags_of
from im_client.providers.things import Thing

__all__ = ["remove", "things"]

_KINDS: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "elastic-ip": ("elastic IP", "describe_addresses", "Addresses", "AllocationId"),
    "volume": ("volume", "describe_volumes", "Volumes", "VolumeId"),
    "snapshot": ("snapshot", "describe_snapshots", "Snapshots", "SnapshotId"),
    "network-interface": ("network card", "describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
    "security-group": ("security group", "describe_security_groups", "SecurityGroups", "GroupId"),
    "key-pair": ("key pair", "describe_key_pairs", "KeyPairs", "KeyName"),
    "subnet": ("subnet", "describe_subnets", "Subnets", "SubnetId"),
    "internet-gateway": ("internet gateway", "describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    "vpc": ("VPC", "describe_vpcs", "Vpcs", "VpcId"),
}
"""EC2's word -> ours, how it is described, and its id. In the order in which they can go."""


_REMOVING: Final[Mapping[str, tuple[str, str, str]]] = {
    "elastic IP": ("release_address", "AllocationId", "InvalidAllocationID.NotFound"),
    "volume": ("delete_volume", "VolumeId", "InvalidVolume.NotFound"),
    "snapshot": ("delete_snapshot", "SnapshotId", "InvalidSnapshot.NotFound"),
    "network card": ("delete_network_interface", "NetworkInterfaceId", "InvalidNetworkInterfaceID.NotFound"),
    "security group": ("delete_security_group", "GroupId", "InvalidGroup.NotFound"),
    "key pair": ("delete_key_pair", "KeyName", "InvalidKeyPair.NotFound"),
    "subnet": ("delete_subnet", "SubnetId", "InvalidSubnetID.NotFound"),
    "internet gateway": ("delete_internet_gateway", "InternetGatewayId", "InvalidInternetGatewayID.NotFound"),
    "VPC": ("delete_vpc", "VpcId", "InvalidVpcID.NotFound"),
}
"""Our word -> the request, the name of its id, and the code where it is gone already."""


def things(client: Client, infrastructure: str | None) -> list[Thing]:
    """List what there is, in the order in which it can go."""
    there = _kinds(client, infrastructure)
    found: list[Thing] = []
    for kind, (word, operation, key, ident) in _KINDS.items():
        if kind in there:
            told = client.every(operation, key, Filters=marked(infrastructure))
            found += [_thing(one, word, ident) for one in told if one.get("State") not in {"deleting", "deleted"}]
    return found


def _kinds(client: Client, infrastructure: str | None) -> set[str]:
    """Return EC2's words for the kinds of things that carry our mark."""
    filters = [{"Name": "key", "Values": [MARK]}]
    if infrastructure is not None:
        filters.append({"Name": "value", "Values": [infrastructure]})
    return {tag["ResourceType"] for tag in client.every("describe_tags", "Tags", Filters=filters)}


def remove(client: Client, thing: Thing) -> None:
    """Ask for one to go. Raises Conflict while it is used."""
    if thing.kind == "internet gateway":
        _detach(client, thing.id)
    operation, param, absent = _REMOVING[thing.kind]
    client.call(operation, allow=(absent,), **{param: thing.id})


def _thing(told: Mapping[str, Any], word: str, ident: str) -> Thing:
    tags = tags_of(told)
    users = [one.get("InstanceId", "") for one in told.get("Attachments") or () if isinstance(one, dict)]
    return Thing(
        id=told[ident],
        kind=word,
        name=tags.get(NAME_MARK) or tags.get("Name") or told.get("PublicIp") or told[ident],
        infrastructure=tags.get(MARK, ""),
        token=tags.get(TOKEN_MARK, ""),
        used_by=told.get("InstanceId") or next((user for user in users if user), ""),
    )


def _detach(client: Client, gateway: str) -> None:
    absent = "InvalidInternetGatewayID.NotFound"
    told = client.call("describe_internet_gateways", allow=(absent,), InternetGatewayIds=[gateway])
    for one in (told or {}).get("InternetGateways", ()):
        for place in one.get("Attachments", ()):
            client.call(
                "detach_internet_gateway",
                allow=("Gateway.NotAttached", absent),
                InternetGatewayId=gateway,
                VpcId=place["VpcId"],
            )
