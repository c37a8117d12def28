"""Volumes: what of a pod's is looked at, and where a PersistentVolume is usable."""

from collections.abc import Iterable, Sequence
from typing import Final

from clues.kubeapi import forms
from clues.kubeapi.terms import term_of
from clues.model import ZONE, NodeTerm, Operator, Requirement, VolumeUse

__all__ = ["local_volumes_of", "volume_terms", "volumes_of"]

_ZONES: Final = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)
_NEW_NAMES: Final = {
    "failure-domain.beta.kubernetes.io/zone": ZONE,
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
}


def volumes_of(given: Sequence[forms.PodVolumeForm]) -> Iterable[VolumeUse]:
    """Yield the volumes of a pod that can keep it from a node."""
    for volume in given:
        if volume.persistent_volume_claim is not None:
            claim = volume.persistent_volume_claim
            yield VolumeUse("claim", claim.claim_name, bool(claim.read_only))
        elif volume.gce_persistent_disk is not None:
            disk = volume.gce_persistent_disk
            yield VolumeUse("gcePersistentDisk", disk.pd_name, bool(disk.read_only))
        elif volume.aws_elastic_block_store is not None:
            disk = volume.aws_elastic_block_store
            yield VolumeUse("awsElasticBlockStore", disk.volume_id)
        elif volume.iscsi is not None:
            disk = volume.iscsi
            yield VolumeUse("iscsi", f"{disk.iqn}:{disk.lun}", bool(disk.read_only))
        elif volume.rbd is not None:
            disk = volume.rbd
            where = ",".join(sorted(disk.monitors or ()))
            yield VolumeUse("rbd", f"{where}/{disk.pool or 'rbd'}/{disk.image}", bool(disk.read_only))


def local_volumes_of(given: Sequence[forms.PodVolumeForm]) -> Iterable[tuple[str, str]]:
    """Yield (name, kind) of the volumes whose content is lost with the node."""
    for volume in given:
        if volume.host_path is not None:
            yield volume.name, "hostPath"
        elif volume.empty_dir is not None and volume.empty_dir.medium != "Memory":
            yield volume.name, "emptyDir"


def volume_terms(form: forms.VolumeForm) -> tuple[NodeTerm, ...] | None:
    """Return where a PersistentVolume is usable: its node affinity with its zone labels folded in."""
    labels = form.metadata.labels or {}
    zones = [
        Requirement(_NEW_NAMES.get(key, key), Operator.IN, tuple(labels[key].split("__")))
        for key in _ZONES
        if key in labels
    ]
    affinity = form.spec.node_affinity.required if form.spec and form.spec.node_affinity else None
    if affinity is None:
        return (NodeTerm(tuple(zones)),) if zones else None
    terms = [term_of(term) for term in affinity.node_selector_terms or ()]
    return tuple(NodeTerm((*term.labels, *zones), term.fields) for term in terms)
