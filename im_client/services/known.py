"""What is recorded of an infrastructure, set right by what its provider reports."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from im_client.plan.model import Known, KnownNode, Phase
from im_client.providers.base import Instance
from im_client.providers.settling import Settles
from im_client.remote.access import Access
from im_client.services.sites import Sites
from im_client.state.store import InfrastructureRecord, NodeRecord
from im_client.topology.facts import Facts, NodeFacts
from im_client.topology.model import Topology
from infracore.errors import InfraError

__all__ = ["Observed", "Stray", "access_of", "corrected_phase", "facts_of", "observe"]

_OURS = frozenset({Phase.CONFIGURED, Phase.UNCONFIGURED})


@dataclass(frozen=True, slots=True)
class Stray:
    """A machine of the infrastructure that no record knows, and where it is."""

    site: str
    instance: Instance


@dataclass(frozen=True, slots=True)
class Observed:
    """The recorded nodes, what the provider said of each, and machines that no record knows."""

    known: Known
    records: Mapping[str, NodeRecord]
    """Node name -> record, with addresses and provider ids that the provider reports."""
    instances: Mapping[str, Instance] = field(default_factory=dict)
    """Node name -> the machine."""
    strays: tuple[Stray, ...] = ()
    silent: Mapping[str, InfraError] = field(default_factory=dict)
    """Site that could not be asked -> why. Its machines are UNKNOWN."""


def corrected_phase(record: NodeRecord, instance: Instance | None, *, settles: bool = False) -> Phase:
    """Set the recorded phase right by what the provider reports; None means that it knows no such machine.

    Where a provider `settles` its machines, one that runs and was never seen to its end may lack addresses and disks.
    """
    if record.phase is Phase.DELETING:
        return Phase.DELETING
    if instance is None:
        return Phase.CREATING if record.phase is Phase.CREATING else Phase.GONE
    if record.phase is Phase.CREATING:
        return Phase.CREATING
    if instance.phase is Phase.RUNNING and record.phase in _OURS:
        return record.phase
    if instance.phase is Phase.RUNNING and record.phase is Phase.PENDING and settles:
        return Phase.PENDING
    return instance.phase


def observe(
    record: InfrastructureRecord, nodes: Sequence[NodeRecord], topology: Topology | None, sites: Sites
) -> Observed:
    """Ask each site that has machines, by one call, for the infrastructure's machines; match them by their tokens.

    A site that cannot be asked does not stop what is done at the others.

    Raises:
        InfraError: the only site cannot be asked.
    """
    asked = tuple(dict.fromkeys((sites.own, *(node.provider for node in nodes))))
    silent: dict[str, InfraError] = {}
    machines: dict[str, dict[str, Instance]] = {}
    """Token -> site -> machine: two names may stand for one place."""
    for site in asked:
        try:
            for listed in sites.at(site).list_machines(record.id):
                machines.setdefault(listed.token, {})[site] = listed
        except InfraError as error:
            if len(asked) == 1:
                raise
            silent[site] = error
    records: dict[str, NodeRecord] = {}
    instances: dict[str, Instance] = {}
    known: dict[str, KnownNode] = {}
    for node in nodes:
        places = machines.pop(node.token, {})
        site = node.provider if node.provider in places else next(iter(places), node.provider)
        machine = places.get(site)
        if machine is not None and machine.phase is Phase.GONE:
            machine = None
        if machine is not None:
            instances[node.name] = machine
            node = dataclasses.replace(  # noqa: PLW2901
                node,
                provider=site,
                provider_id=machine.provider_id,
                private_address=machine.private_address or node.private_address,
                public_address=machine.public_address or node.public_address,
            )
        records[node.name] = node
        known[node.name] = KnownNode(
            name=node.name,
            group=node.group,
            index=node.index,
            phase=Phase.UNKNOWN
            if node.provider in silent
            else corrected_phase(node, machine, settles=isinstance(sites.at(node.provider), Settles)),
            spec=node.spec,
            provider=node.provider,
            provider_id=node.provider_id,
            configured_digest=node.configured_digest,
            failure=node.failure or (machine.fault if machine else ""),
            operation_digests=node.operation_digests,
        )
    facts = facts_of(record, records.values(), topology)
    return Observed(
        known=Known(revision=record.revision, nodes=known, facts=facts),
        records=records,
        instances=instances,
        strays=tuple(
            Stray(site, left)
            for site, left in (next(iter(places.items())) for places in machines.values())
            if left.phase is not Phase.GONE
        ),
        silent=silent,
    )


def facts_of(record: InfrastructureRecord, nodes: Iterable[NodeRecord], topology: Topology | None) -> Facts:
    """Return what values of a topology may ask of these machines.

    The credential's token is the infrastructure's private key: a secret that resolving keeps secret.
    """
    return Facts(
        nodes={
            node.name: NodeFacts(
                name=node.name,
                group=node.group,
                index=node.index,
                private_address=node.private_address,
                public_address=node.public_address,
                provider_id=node.provider_id,
                attributes={
                    "ssh_port": node.port,
                    "endpoint": {
                        "credential": {
                            "user": node.user,
                            "token_type": "private_key",
                            "token": record.ssh_private_key,
                        }
                    },
                },
                outputs=node.outputs,
            )
            for node in nodes
        },
        components=topology.components if topology else {},
        defaults=topology.attributes if topology else {},
    )


def access_of(record: InfrastructureRecord, node: NodeRecord, instance: Instance | None) -> Access | None:
    """Return how to log in: as the provider says, with the infrastructure's key and the recorded host key.

    None while no address is known.
    """
    access = instance.access if instance is not None else None
    if access is None:
        address = node.public_address or node.private_address
        if not address:
            return None
        access = Access(address=address, user=node.user, port=node.port)
    if access.private_key is None and access.private_key_file is None and access.password is None:
        access = dataclasses.replace(access, private_key=record.ssh_private_key)
    if access.host_key is None and node.host_key_public:
        access = dataclasses.replace(access, host_key=node.host_key_public)
    return access
