"""How much there is room for, and what it costs."""

from im_client.plan.model import Spec
from im_client.providers.cloud.model import Size
from im_client.providers.ec2.client import Client
from im_client.providers.offers import Price
from im_client.providers.quotas import Quota, Share
from infracore.errors import InfraError

__all__ = ["quotas", "spot_price"]

_COUNTED = ["pending", "running", "stopping", "stopped"]


def quotas(client: Client) -> Quota:
    """Count machines; limits where the API tells them, which newer accounts have in Service Quotas."""
    states = [{"Name": "instance-state-name", "Values": _COUNTED}]
    told = client.every("describe_instances", "Reservations", Filters=states, MaxResults=1000)
    machines = [one for reservation in told for one in reservation["Instances"]]
    cpus = [one.get("CpuOptions", {}) for one in machines if one["State"]["Name"] in {"pending", "running"}]
    counted = [one.get("CoreCount", 0) * one.get("ThreadsPerCore", 1) for one in cpus]
    return Quota(
        cpus=Share(used=sum(counted) if all(counted) else None),
        machines=Share(used=len(machines), limit=_limit(client)),
    )


def _limit(client: Client) -> int | None:
    try:
        told = client.ask("describe_account_attributes", AttributeNames=["max-instances"])
    except InfraError:  # not every endpoint has it, and no quota is worth failing for
        return None
    values = [value["AttributeValue"] for one in told["AccountAttributes"] for value in one["AttributeValues"]]
    return int(values[0]) if values and values[0].isdigit() else None


def spot_price(client: Client, size: Size, spec: Spec) -> Price | None:
    """Return the price of the dearest zone now, for any may be the one with room; None where there is none."""
    zone = {"AvailabilityZone": spec.availability_zone} if spec.availability_zone else {}
    told = client.ask(
        "describe_spot_price_history",
        InstanceTypes=[size.id],
        ProductDescriptions=["Linux/UNIX"],
        MaxResults=20,
        **zone,
    )
    newest: dict[str, float] = {}
    for one in told.get("SpotPriceHistory", ()):  # the newest first
        newest.setdefault(one["AvailabilityZone"], float(one["SpotPrice"]))
    return Price(max(newest.values()), "USD", "spot now") if newest else None
