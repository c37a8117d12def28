"""The real parts of a daemon: the cluster and the drivers of the settings."""

import os
import socket

from clues.actions.lease import LeaseStore
from clues.daemon.cluster_objects import KubernetesLease, KubernetesSink
from clues.daemon.daemon import Parts
from clues.decide import decide
from clues.drain.base import Drain
from clues.drain.command import CommandDrain
from clues.drain.kubernetes import KubernetesDrain
from clues.drain.slurm import SlurmDrain
from clues.kubeapi.api import Api, connection_of
from clues.power.registry import load_drivers
from clues.settings import ClusterKind, Settings
from clues.sources.command import command_source, programs_of
from clues.sources.kubernetes import POD_GROUPS, RESOURCES, KubernetesSource
from clues.sources.listwatch import Timing
from clues.sources.slurm import SlurmSource
from clues.sources.slurm_asked import commands_of, slurm_of
from infracore.clock import Clock

__all__ = ["connect"]


def connect(settings: Settings, clock: Clock) -> Parts:
    """Make the parts for the cluster of the settings; nothing is sent before the daemon runs.

    Raises:
        Misconfigured: there is no Kubernetes configuration, or it cannot be used.
    """
    match settings.cluster:
        case ClusterKind.SLURM:
            return _connect_slurm(settings, clock)
        case ClusterKind.COMMAND:
            return _connect_command(settings, clock)
        case ClusterKind.KUBERNETES:
            return _connect_kubernetes(settings, clock)


def _connect_slurm(settings: Settings, clock: Clock) -> Parts:
    options = settings.slurm
    source = SlurmSource(
        slurm_of(options),
        clock,
        poll_s=options.poll_s,
        partitions_s=options.partitions_s,
        decides_here=not options.power_saving,
    )
    # the drain has its own: what is under way goes on while the source is being stopped
    drain = SlurmDrain(commands_of(options))
    return _parts(settings, source, drain)


def _connect_command(settings: Settings, clock: Clock) -> Parts:
    programs = programs_of(settings.command)
    source = command_source(programs, settings.command, clock)
    return _parts(settings, source, CommandDrain(programs))


def _parts(settings: Settings, source: SlurmSource, drain: Drain) -> Parts:
    source.take_pools(settings.pools)
    return Parts(
        source=source,
        drain=drain,
        load_drivers=load_drivers,
        decide=decide,
        start=source.start,
        take_pools=source.take_pools,
        take_policy=source.take_policy,
        stop=source.stop,
    )


def _connect_kubernetes(settings: Settings, clock: Clock) -> Parts:
    options = settings.kubernetes
    connection = connection_of(options.kubeconfig, options.context, os.environ)
    api = Api(connection, connect_s=options.connect_s, request_s=options.request_s)
    timing = Timing(
        watch_s=options.watch_s,
        idle_s=options.idle_s,
        page=options.page,
        backoff_first_s=options.backoff_first_s,
        backoff_most_s=options.backoff_most_s,
    )
    groups = [POD_GROUPS[whose] for whose in dict.fromkeys(options.pod_groups)]
    source = KubernetesSource(api, clock, timing, resources=(*RESOURCES, *groups))
    source.take_pools(settings.pools)
    source.take_policy(settings.policy)
    lease: LeaseStore | None = None
    lease_api: Api | None = None
    if settings.lease.enabled:
        # its own connections and a short limit: a renewal must not wait behind others
        lease_api = Api(connection, connect_s=settings.lease.retry_s, request_s=settings.lease.retry_s)
        lease = KubernetesLease(lease_api.call, settings.lease.namespace, settings.lease.name)

    def stop() -> None:
        source.stop()
        api.close()
        if lease_api is not None:
            lease_api.close()

    return Parts(
        source=source,
        drain=KubernetesDrain(api.call),
        load_drivers=load_drivers,
        decide=decide,
        lease=lease,
        sink=KubernetesSink(api.call, socket.gethostname()),
        start=source.start,
        take_pools=source.take_pools,
        take_policy=source.take_policy,
        stop=stop,
    )
