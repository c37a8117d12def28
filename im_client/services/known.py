"""What is recorded of an infrastructure, set right by what its provider reports."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from im_client.plan.model import Known, KnownNode, Phase
from im_client.providers.base import Instance
from im_client.providers.placed import identity_of
from im_client.providers.settling import Settles
from im_client.remote.access import Access
from im_client.services.sites import Sites
from im_client.state.store import InfrastructureRecord, NodeRecord
from im_client.topology.facts import Facts, NodeFacts
from im_client.topology.model import Topology
from infracore.errors import Conflict, InfraError

__all__ = ["Observed", "Stray", "access_of", "corrected_phase", "facts_of", "observe"]

_OURS = frozenset({Phase.CONFIGURED, Phase.UNCONFIGURED})


@dataclass(frozen=True, slots=True)
class Stray:
    """A machine of the infrastructure that no record knows, or a copy of one, and where it is."""

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

    A site that cannot be asked does not stop what is done at the others. Of several machines with one token (a copy
    that was made with all tags in a cloud's console) one is the recorded, the others are strays.

    Raises:
        InfraError: the only site cannot be asked.
        Conflict: a site stands for another place than the one where its machines were made.
    """
    asked = tuple(dict.fromkeys((sites.own, *(node.provider for node in nodes))))
    silent: dict[str, InfraError] = {}
    places: dict[str, str] = {}
    machines: dict[str, list[Stray]] = {}
    """Token -> machines that carry it, each where it was seen first or is recorded: two names may stand for one place.
    """
    for site in asked:
        try:
            places[site] = identity_of(sites.at(site))
            for listed in sites.at(site).list_machines(record.id):
                machines.setdefault(listed.token, []).append(Stray(site, listed))
        except InfraError as error:
            if len(asked) == 1:
                raise
            silent[site] = error
    _refuse_other_places(record, nodes, places, machines)
    strays: list[Stray] = []
    records: dict[str, NodeRecord] = {}
    instances: dict[str, Instance] = {}
    known: dict[str, KnownNode] = {}
    for node in nodes:
        found, *copies = _by_fit(machines.pop(node.token, ()), node) or (None,)
        strays += [copy for copy in copies if copy is not None]
        machine = found.instance if found is not None else None
        if found is not None and machine is not None:
            instances[node.name] = machine
            node = dataclasses.replace(  # noqa: PLW2901
                node,
                provider=found.site,
                place=places[found.site] or node.place,
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
        strays=(*strays, *(left for same in machines.values() for left in _by_fit(same))),
        silent=silent,
    )


def _by_fit(same: Iterable[Stray], node: NodeRecord | None = None) -> list[Stray]:
    """Return machines with one token, without those that are gone: the recorded one first, then the oldest."""

    def unfit(one: Stray) -> tuple[bool, bool, float]:
        instance = one.instance
        is_other = node is not None and instance.provider_id != node.provider_id
        is_elsewhere = node is not None and one.site != node.provider
        return is_other, is_elsewhere, math.inf if instance.created_at is None else instance.created_at

    fit: dict[str, Stray] = {}
    for one in sorted(same, key=unfit):
        if one.instance.phase is not Phase.GONE:
            fit.setdefault(one.instance.provider_id, one)  # a place may have two names
    return list(fit.values())


def _refuse_other_places(
    record: InfrastructureRecord,
    nodes: Sequence[NodeRecord],
    places: Mapping[str, str],
    machines: Mapping[str, Sequence[Stray]],
) -> None:
    """Refuse to take machines for gone that were made elsewhere.

    A place may get another address: where one of its machines is found, it is the same.
    """
    made: dict[tuple[str, str], list[NodeRecord]] = {}
    for node in nodes:
        if node.phase is not Phase.GONE:
            made.setdefault((node.provider, node.place), []).append(node)
    for (site, place), members in made.items():
        now = places.get(site, "")
        if place and now and place != now and not any(node.token in machines for node in members):
            raise Conflict(
                f"the machines of {record.name} at {site} were made at {place}; {site} stands for {now} now",
                "set region, endpoint, project and credentials as they were then; nothing was changed",
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
