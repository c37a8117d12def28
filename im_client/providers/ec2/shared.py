"""What the machines of an infrastructure share: key pair, security groups and, where there is none, a VPC.

Names are unique by EC2's own doing: of two that are made at once one is refused, and found. Each thing is made with its
mark by one request; what needs two is looked at again after a break.
"""

import hashlib
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final, TypeVar

from im_client.providers.cloud.model import Rule
from im_client.providers.cloud.together import together
from im_client.providers.ec2.client import Client
from im_client.providers.ec2.marks import marked, shared_marks, specifications
from im_client.providers.ec2.network import Subnet, subnet_of
from infracore.errors import NotFound

__all__ = ["Shared"]

_T = TypeVar("_T")
_U = TypeVar("_U")
_CIDR: Final = "10.0.0.0/16"
"""Of a VPC that is made where the template says nothing."""


class Shared:
    """Finds or makes them, once a process. Safe under threads."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._made: dict[Hashable, Any] = {}
        self._alone: dict[Hashable, threading.Lock] = {}

    def key_pair(self, infrastructure: str, public_key: str) -> str:
        """Return the name of the infrastructure's key pair."""
        name = f"im-clues-{infrastructure}"

        def make() -> str:
            self._client.call(
                "import_key_pair",
                allow={"InvalidKeyPair.Duplicate"},
                KeyName=name,
                PublicKeyMaterial=public_key.encode(),
                TagSpecifications=specifications(["key-pair"], shared_marks(infrastructure, name)),
            )
            return name

        return self._once(("key", infrastructure), make)

    def groups(self, infrastructure: str, vpc: str, rules: Sequence[Rule]) -> list[str]:
        """Return ids of security groups: one opens the ports, the other everything between the machines."""
        name = f"im-clues-{infrastructure}"
        digest = hashlib.sha256(repr(tuple(rules)).encode()).hexdigest()[:10]
        keys = ("group", infrastructure, vpc), ("group", infrastructure, vpc, digest)

        def inner() -> str:
            return self._once(keys[0], lambda: self._group(infrastructure, vpc, name, None))

        def outer() -> str:
            opened = [_permission(rule) for rule in rules]
            return self._once(keys[1], lambda: self._group(infrastructure, vpc, f"{name}-{digest}", opened))

        return list(self._both(keys, outer, inner))

    def groups_and_key(
        self, infrastructure: str, vpc: str, rules: Sequence[Rule], public_key: str
    ) -> tuple[list[str], str]:
        """Return ids of security groups and the name of the key pair, all made at once where they are to be made."""
        return self._both(
            [("key", infrastructure)],
            lambda: self.groups(infrastructure, vpc, rules),
            lambda: self.key_pair(infrastructure, public_key),
        )

    def subnets(self, infrastructure: str, cidr: str, zone: str) -> list[Subnet]:
        """Return the subnet of the infrastructure's own VPC, which is made where it is not there."""
        return self._once(("vpc", infrastructure), lambda: [self._network(infrastructure, cidr or _CIDR, zone)])

    def forget(self, infrastructure: str | None = None) -> None:
        """Forget what was made for an infrastructure (None: for all), as it may be gone."""
        with self._lock:
            gone = [key for key in self._made if infrastructure is None or infrastructure in key]  # type: ignore[operator]
            for key in gone:
                del self._made[key]

    def _both(self, keys: Sequence[Hashable], first: Callable[[], _T], second: Callable[[], _U]) -> tuple[_T, _U]:
        """Return both answers; at once only where one of the keys is still to be made, for a thread costs too."""
        if all(key in self._made for key in keys):
            return first(), second()
        return together(first, second)

    def _once(self, key: Hashable, make: Callable[[], _T]) -> _T:
        with self._lock:
            alone = self._alone.setdefault(key, threading.Lock())
        with alone:
            if key not in self._made:
                self._made[key] = make()
            found: _T = self._made[key]
            return found

    def _group(self, infrastructure: str, vpc: str, name: str, wanted: list[dict[str, Any]] | None) -> str:
        """Return the id of a group that opens what is wanted; None: everything, to its own members."""
        made = self._client.call(
            "create_security_group",
            allow={"InvalidGroup.Duplicate"},
            GroupName=name,
            Description=f"im-clues, infrastructure {infrastructure}",
            VpcId=vpc,
            TagSpecifications=specifications(["security-group"], shared_marks(infrastructure, name)),
        )
        open_now: set[tuple[str, ...]] = set()
        if made is not None:
            group = str(made["GroupId"])
        else:
            told = self._client.every(
                "describe_security_groups",
                "SecurityGroups",
                Filters=[{"Name": "group-name", "Values": [name]}, {"Name": "vpc-id", "Values": [vpc]}],
            )
            if not told:
                raise NotFound(f"the security group {name} is there, and is not listed")
            group = told[0]["GroupId"]
            open_now = {word for one in told[0].get("IpPermissions", ()) for word in _words(one)}
        if wanted is None:
            wanted = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}]
        missing = [one for one in wanted if not _words(one) <= open_now]
        if missing:
            self._client.call(
                "authorize_security_group_ingress",
                allow={"InvalidPermission.Duplicate"},
                GroupId=group,
                IpPermissions=missing,
            )
        return group

    def _network(self, infrastructure: str, cidr: str, zone: str) -> Subnet:
        """Make a VPC with a way out, step by step, each looked for by its mark before it is made."""
        client, name = self._client, f"im-clues-{infrastructure}"

        def tags(kind: str) -> list[dict[str, Any]]:
            return specifications([kind], shared_marks(infrastructure, name))

        def found(operation: str, key: str) -> Mapping[str, Any] | None:
            return next(iter(client.every(operation, key, Filters=marked(infrastructure))), None)

        vpc = (
            found("describe_vpcs", "Vpcs")
            or client.ask("create_vpc", CidrBlock=cidr, TagSpecifications=tags("vpc"))["Vpc"]
        )
        gateway = (
            found("describe_internet_gateways", "InternetGateways")
            or client.ask("create_internet_gateway", TagSpecifications=tags("internet-gateway"))["InternetGateway"]
        )
        if not gateway.get("Attachments"):
            client.ask("attach_internet_gateway", InternetGatewayId=gateway["InternetGatewayId"], VpcId=vpc["VpcId"])
        subnet = found("describe_subnets", "Subnets")
        if subnet is None:
            where = {"AvailabilityZone": zone} if zone else {}
            made = client.ask(
                "create_subnet", VpcId=vpc["VpcId"], CidrBlock=cidr, TagSpecifications=tags("subnet"), **where
            )
            subnet = made["Subnet"]
        routes = client.every(
            "describe_route_tables", "RouteTables", Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
        )
        if routes and not any(route.get("GatewayId") == gateway["InternetGatewayId"] for route in routes[0]["Routes"]):
            client.call(
                "create_route",
                allow={"RouteAlreadyExists"},
                RouteTableId=routes[0]["RouteTableId"],
                DestinationCidrBlock="0.0.0.0/0",
                GatewayId=gateway["InternetGatewayId"],
            )
        return subnet_of(subnet)


def _permission(rule: Rule) -> dict[str, Any]:
    first, last = (rule.first, rule.last) if rule.protocol != "icmp" else (-1, -1)
    kind = ("Ipv6Ranges", "CidrIpv6") if ":" in rule.remote_cidr else ("IpRanges", "CidrIp")
    return {"IpProtocol": rule.protocol, "FromPort": first, "ToPort": last, kind[0]: [{kind[1]: rule.remote_cidr}]}


def _words(permission: Mapping[str, Any]) -> set[tuple[str, ...]]:
    """Return one word a remote end; EC2 lists all ends of the same ports as one permission."""
    ports = (permission["IpProtocol"], str(permission.get("FromPort")), str(permission.get("ToPort")))
    ends = [one.get("CidrIp", "") for one in permission.get("IpRanges") or ()]
    ends += [one.get("CidrIpv6", "") for one in permission.get("Ipv6Ranges") or ()]
    ends += [one.get("GroupId", "") for one in permission.get("UserIdGroupPairs") or ()]
    return {(*ports, end) for end in ends}
