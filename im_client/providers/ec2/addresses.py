"""Public addresses that stay: elastic IPs, each taken for one machine and marked with it."""

from typing import Any

from im_client.providers.cloud.base import TOKEN_MARK
from im_client.providers.cloud.model import Order, Server
from im_client.providers.ec2.client import Client
from im_client.providers.ec2.marks import MACHINE_MARK, shared_marks, specifications

__all__ = ["give", "take_back"]


def give(client: Client, server: Server, order: Order, cards: int) -> str:
    """Return the address of a running machine, taken and put on it where that is not done yet."""
    found = _of(client, server.id)
    if found:
        address = found[0]
    else:
        marks = {
            **shared_marks(order.infrastructure, order.name),
            TOKEN_MARK: order.token,
            MACHINE_MARK: server.id,
        }
        address = dict(
            client.ask("allocate_address", Domain="vpc", TagSpecifications=specifications(["elastic-ip"], marks))
        )
    if address.get("InstanceId") != server.id:
        where: dict[str, Any] = {"InstanceId": server.id}
        if cards > 1:  # EC2 wants to know which card
            where = {"NetworkInterfaceId": _first_card(client, server.id)}
        client.ask("associate_address", AllocationId=address["AllocationId"], **where)
    return str(address["PublicIp"])


def take_back(client: Client, server_id: str) -> None:
    """Give up the addresses that were taken for a machine, whether it is still there or not."""
    for address in _of(client, server_id):
        if address.get("AssociationId"):
            client.call(
                "disassociate_address",
                allow=("InvalidAssociationID.NotFound",),
                AssociationId=address["AssociationId"],
            )
        client.call("release_address", allow=("InvalidAllocationID.NotFound",), AllocationId=address["AllocationId"])


def _of(client: Client, server_id: str) -> list[dict[str, Any]]:
    filters = [{"Name": f"tag:{MACHINE_MARK}", "Values": [server_id]}]
    return [dict(one) for one in client.every("describe_addresses", "Addresses", Filters=filters)]


def _first_card(client: Client, server_id: str) -> str:
    told = client.ask("describe_instances", InstanceIds=[server_id])["Reservations"][0]["Instances"][0]
    first = next(one for one in told["NetworkInterfaces"] if one["Attachment"]["DeviceIndex"] == 0)
    return str(first["NetworkInterfaceId"])
