"""What is sent for one machine: a document of RADL, with our mark in its name. Pure."""

import dataclasses
import re
from dataclasses import dataclass
from typing import Final

from im_client.plan.model import Spec
from im_client.providers.base import MachineRequest
from im_client.radl import text
from im_client.radl.describe import topology_document
from im_client.radl.model import Contextualize, Feature, Operator, Section
from im_client.template.findings import Place, Source
from im_client.topology.model import (
    Group,
    Hardware,
    Image,
    Network,
    NetworkInterface,
    Placement,
    PortRule,
    Protocol,
    Topology,
)
from infracore.errors import Unsupported
from infracore.im_rest import RADL, Body

__all__ = ["SYSTEM", "UNSUPPORTED", "Mark", "body_of"]

SYSTEM: Final = "machine"
UNSUPPORTED: Final = frozenset({"volumes"})
"""Fields that are refused: what a volume holds would go with the machine's infrastructure."""
_NOWHERE: Final = Place(Source(""), 1, 1)
_MARK: Final = re.compile(r"im-clues/([^/']{1,128})/([^/']{1,63})/([0-9a-f]{8,64})")
_PORT: Final = re.compile(r"(tcp|udp|icmp)/(\d{1,5})(?:-(\d{1,5}))?(?:@(\S+))?")


@dataclass(frozen=True, slots=True)
class Mark:
    """Which machine of which infrastructure of ours it is."""

    infrastructure: str
    name: str
    token: str

    def __str__(self) -> str:
        return f"im-clues/{self.infrastructure}/{self.name}/{self.token}"

    @classmethod
    def read(cls, name: str) -> "Mark | None":
        """Return the mark in the name of an infrastructure, None where it is somebody else's."""
        found = _MARK.fullmatch(name)
        return cls(found[1], found[2], found[3]) if found else None


def body_of(request: MachineRequest, *, image: str = "", cloud: str = "") -> Body:
    """Return what asks for a machine; nothing is configured there.

    Raises:
        Unsupported: something that an infrastructure of one machine cannot have.
    """
    spec = request.spec
    wrong = [name for name in UNSUPPORTED if getattr(spec, name)]
    if any(card.fixed_address or card.cidr for card in spec.interfaces):
        wrong.append("networks of its own or fixed addresses")
    if wrong:
        raise Unsupported(
            f"{request.name}: an infrastructure of one machine at another server has no {', '.join(wrong)}",
            "leave it out, or deploy the whole template there: im --server URL deploy",
        )
    mark = Mark(request.infrastructure, request.name, request.token)
    document = topology_document(_topology(request.name, spec, image=image, cloud=cloud))
    name = Feature("name", Operator.EQ, str(mark), at=_NOWHERE, value_at=_NOWHERE)
    marked = dataclasses.replace(
        document,
        descriptions=(Section("im-clues", (name,), at=_NOWHERE),),
        contextualize=Contextualize(at=_NOWHERE),
    )
    return Body(text.write(marked), RADL)


def _topology(name: str, spec: Spec, *, image: str, cloud: str) -> Topology:
    networks = {card.network: Network(card.network, public=card.public, provider_name=card.provider_name)
                for card in spec.interfaces}  # fmt: skip
    if not networks:
        networks = {"public": Network("public", public=True)}  # it is configured from here
    cards = [NetworkInterface(network) for network in networks]
    cards[0] = dataclasses.replace(cards[0], dns_names=(name,))
    group = Group(
        name=SYSTEM,
        count=1,
        minimum=0,
        maximum=1,
        hardware=Hardware(
            num_cpus=spec.num_cpus,
            mem_bytes=spec.mem_bytes,
            disk_bytes=spec.disk_bytes,
            instance_type=spec.instance_type,
            num_gpus=spec.num_gpus,
            gpu_vendor=spec.gpu_vendor,
            gpu_model=spec.gpu_model,
            disk_type=spec.disk_type,
            preemptible=spec.preemptible,
        ),
        image=Image(
            url=spec.image or image or None,
            type=spec.os_type or "linux",
            distribution=spec.os_distribution,
            version=spec.os_version,
            architecture=spec.architecture,
            user=spec.user,
        ),
        interfaces=tuple(cards),
        ports=tuple(_port(said) for said in {*spec.ports, "tcp/22"}),
        tags=spec.tags,
        placement=Placement(spec.cloud_id or cloud or None, spec.availability_zone),
    )
    return Topology(name=name, groups={SYSTEM: group}, networks=networks)


def _port(said: str) -> PortRule:
    found = _PORT.fullmatch(said)
    if found is None:
        raise Unsupported(f"{said!r} is no port that a server opens")
    first = int(found[2])
    return PortRule(first, int(found[3] or first), Protocol(found[1]), found[4] or "0.0.0.0/0")
