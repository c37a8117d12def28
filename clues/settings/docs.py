"""What every setting means, and the reference page made of it."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from clues.options import Budgets, Expander, Headroom, MachineOption, Pool, Window
from clues.settings.model import HOOKS, VETOES, Settings
from infracore.settings import Option, options

__all__ = ["DOCS", "describe", "reference"]

_HEADROOM: Final = {
    "nodes": ("Empty nodes that are kept ready beyond the demand.", "nodes"),
    "pods": ("Pods of `cpu_m` and `memory_bytes` for which room is kept free.", "pods"),
    "cpu_m": ("Processor share of each such pod.", "millicores"),
    "memory_bytes": ("Memory of each such pod.", "bytes"),
}
_WHEN: Final[Mapping[str, str]] = {
    "pre_poweron": "before a machine is ordered; called with POOL NAME",
    "post_poweron": "after a machine was ordered; called with POOL NAME `1` or `0` (accepted or not)",
    "pre_poweroff": "before a drained node is turned off; called with POOL NAME",
    "post_poweroff": "after the order to turn a machine off; called with POOL NAME `1` or `0`",
    "poweredon": "when the node of an ordered machine is ready; called with POOL NAME",
    "poweredoff": "when an ordered machine is off; called with POOL NAME",
    "unexpected_poweron": "when a machine came on that nobody here ordered; called with POOL NAME",
    "unexpected_poweroff": "when a machine went off that nobody here turned off; called with POOL NAME",
    "onerr": "when a machine could not be turned off; called with POOL NAME",
    "offerr": "when a machine could not be turned on or never became a ready node; called with POOL NAME",
    "unknown": "when the state of a machine cannot be told any more; called with POOL NAME",
    "idle": "when the last pod left a node; called with POOL NAME",
    "used": "when the first pod came to an idle node; called with POOL NAME",
    "request": "when pods ask for nodes that are to be ordered; called with POOL COUNT",
}

DOCS: Final[Mapping[str, tuple[str, str]]] = {
    "cluster": (
        "Whose nodes and work are looked at: `kubernetes`, `slurm`, or `command` for another batch system.",
        "",
    ),
    "slurm.folder": ("Folder of `squeue` and `scontrol`; none: they are on the PATH.", ""),
    "slurm.config": ("Path of slurm.conf, as in SLURM_CONF; none: where the commands look for it.", ""),
    "slurm.read": (
        "`auto`: up to 500 jobs as JSON where squeue has it, the rest as text; `json` or `text`: all so.",
        "",
    ),
    "slurm.restd": (
        "slurmrestd, which is asked for jobs, nodes and partitions: `unix:/PATH` or `http(s)://HOST:PORT`; none: the "
        "commands are. Changes go by `scontrol` all the same.",
        "",
    ),
    "slurm.restd_token": ("Path of a file with the token (JWT) that slurmrestd wants; none: it wants none.", ""),
    "slurm.restd_ca_file": ("Path of the authority of its certificate, where it is not one that is known here.", ""),
    "slurm.poll_s": (
        "How often Slurm is asked: squeue and scontrol, once each. A look that takes long is made less often.",
        "s",
    ),
    "slurm.partitions_s": ("How often the partitions are read; also whenever a node or job names an unknown one.", "s"),
    "slurm.call_s": ("Limit of one command.", "s"),
    "slurm.power_saving": (
        "Slurm decides by its own power saving, whose programs are `clues slurm resume` and `clues slurm suspend`; "
        "cluesd only turns machines on and off.",
        "",
    ),
    "command.nodes": ("Program that prints the nodes, and its first words; for the form see the how-to of Slurm.", ""),
    "command.jobs": ("Program that prints the jobs.", ""),
    "command.drain": ("Program that keeps jobs away from a node; `{node}` is its name, `{reason}` why.", ""),
    "command.resume": ("Program that lets jobs onto a node again.", ""),
    "command.poll_s": ("How often the programs are run.", "s"),
    "command.call_s": ("Limit of one run.", "s"),
    "kubernetes.kubeconfig": (
        "Path of the kubeconfig file; none: `KUBECONFIG`, `~/.kube/config`, or inside a cluster its service account.",
        "",
    ),
    "kubernetes.context": ("Context of the kubeconfig file; none: its current one.", ""),
    "kubernetes.connect_s": ("Limit for connecting to the API server.", "s"),
    "kubernetes.request_s": ("Limit of one request that is not a watch.", "s"),
    "kubernetes.page": ("Objects of one page of a list.", "objects"),
    "kubernetes.watch_s": (
        "How long the server keeps one watch open at most; never longer than 0.6 of `policy.max_stale_s`.",
        "s",
    ),
    "kubernetes.idle_s": ("A watch that brings neither event nor bookmark for so long is opened anew.", "s"),
    "kubernetes.backoff_first_s": ("First pause after a watch failed; doubled up to the longest, with jitter.", "s"),
    "kubernetes.backoff_most_s": ("Longest such pause.", "s"),
    "kubernetes.pod_groups": (
        "Whose PodGroups are watched, `coscheduling` or `volcano` or both: they say how many pods a gang needs, and "
        "how many of them have ended.",
        "",
    ),
    "pools": ("Kinds of worker nodes that can be ordered; see below.", ""),
    "drivers": ("Name -> settings of a power driver, with `type`; see the drivers' pages.", ""),
    "policy.expander": ("How a pool is chosen where several can help.", ""),
    "policy.max_nodes": ("Most nodes of all pools together; none: no limit.", "nodes"),
    "policy.max_cores": ("Most cores of all nodes together; none: no limit.", "cores"),
    "policy.max_memory_bytes": ("Most memory of all nodes together; none: no limit.", "bytes"),
    "policy.min_cores": ("Fewest cores of all nodes together that scaling in leaves.", "cores"),
    "policy.balance": ("Spread new nodes over pools that are alike but for name and zone.", ""),
    "policy.enforce_min": ("Order nodes until every pool has its `min`, also without demand.", ""),
    "policy.utilization_threshold": ("A node that is asked for less than this share of cpu and memory may go.", ""),
    "policy.count_daemonsets": ("Count what DaemonSet pods ask for in that share.", ""),
    "policy.unneeded_s": ("How long a node must have been removable without a break.", "s"),
    "policy.unready_s": ("The same for a node that is not ready.", "s"),
    "policy.remove_unready": ("Remove nodes that are not ready.", ""),
    "policy.delay_after_scale_up_s": ("No node is removed for so long after nodes were ordered.", "s"),
    "policy.delay_after_failure_s": ("No node is removed for so long after a removal failed.", "s"),
    "policy.max_drain": ("Nodes with pods that are removed at once.", "nodes"),
    "policy.max_parallel": ("Nodes that are removed at once.", "nodes"),
    "policy.max_provision_s": ("A machine that is no ready node so long after its order is given up.", "s"),
    "policy.max_booting": ("Machines that boot at once over all pools; none: no limit.", "machines"),
    "policy.backoff.initial_s": ("First rest of a pool whose order failed.", "s"),
    "policy.backoff.max_s": ("Longest rest.", "s"),
    "policy.backoff.reset_s": ("After so long without failure the rest begins at the first again.", "s"),
    "policy.removal_backoff.initial_s": ("First rest of a node whose removal failed, while others go.", "s"),
    "policy.removal_backoff.max_s": ("Longest such rest.", "s"),
    "policy.removal_backoff.reset_s": ("After so long without failure the rest begins at the first again.", "s"),
    "policy.expendable_below": ("Pods of a lower priority order no node and hold none.", "priority"),
    "policy.ok_unready": ("So many nodes may be unready before the cluster counts as unhealthy.", "nodes"),
    "policy.max_unready_percent": ("Beyond that, this share of nodes; an unhealthy cluster is left as it is.", "%"),
    "policy.block_local_storage": ("Pods with emptyDir or hostPath volumes keep their node.", ""),
    "policy.block_kube_system": ("Pods of kube-system without a disruption budget keep their node.", ""),
    "policy.block_unreplicated": ("Pods that no controller would make anew keep their node.", ""),
    "policy.consolidation": ("What is done with nodes whose pods fit elsewhere.", ""),
    "policy.budgets": ("Limits on nodes that are disrupted at once; see below.", ""),
    "policy.schedules": ("Times during which a pool has other limits; see below.", ""),
    "policy.schedulers": ("Schedulers whose pods count as demand.", ""),
    "policy.unseen_pods_s": ("A pod that its scheduler has not looked at for so long counts all the same.", "s"),
    **{f"policy.headroom.{name}": doc for name, doc in _HEADROOM.items()},
    "policy.max_stale_s": ("A picture of the cluster older than this never removes a node.", "s"),
    "policy.scale_in": ("Whether nodes are removed at all.", ""),
    "policy.scale_out": ("Whether nodes are ordered at all.", ""),
    "loop.burst_window_s": (
        "After a first event so long is waited for more, so that a burst is one decision; at most 10.",
        "s",
    ),
    "loop.tick_s": ("A pass is made at least so often; at most 20, for the watchdog's sake.", "s"),
    "actions.workers": ("Orders, drains and hooks that run at once.", "threads"),
    "actions.look_again_s": ("Time between cordoning a node and looking at it again before pods are evicted.", "s"),
    "actions.drain_s": ("A node that is not empty so long after the first eviction is uncordoned and stays.", "s"),
    "actions.evict_request_s": ("Limit of one eviction request.", "s"),
    "actions.evict_pause_s": ("Pause before an eviction that a disruption budget refused is tried again.", "s"),
    "actions.off_s": ("A machine that is still on so long after the order to go off counts as failed.", "s"),
    "actions.list_s": ("How often the drivers are asked for their machines.", "s"),
    "actions.attempts": ("How often a call that failed for a passing reason is made in all.", "calls"),
    "actions.retry_first_s": ("First pause before such a call is made again; doubled each time.", "s"),
    "actions.retry_most_s": ("Longest such pause.", "s"),
    "lease.enabled": ("Several daemons may run and the one that holds a Lease acts.", ""),
    "lease.name": ("Name of the Lease.", ""),
    "lease.namespace": ("Its namespace.", ""),
    "lease.identity": ("What this daemon calls itself; none: host name and process number.", ""),
    "lease.duration_s": ("A lease that was not renewed for so long may be taken by another.", "s"),
    "lease.renew_s": ("A holder that could not renew for so long stops acting.", "s"),
    "lease.retry_s": ("How often the lease is renewed or tried for.", "s"),
    "daemon.state_dir": ("Folder of what a restart must not lose; on a local disk.", ""),
    "daemon.socket": ("Socket on which `clues` asks.", ""),
    "daemon.socket_group": (
        "Group whose members may change something by `clues`, besides root; none: root only. Everybody may look.",
        "",
    ),
    "daemon.metrics_listen": ("ADDRESS:PORT of /metrics, /healthz and the status page; none: not served.", ""),
    "daemon.dry_run": ("Decide and say so, but change nothing.", ""),
    "daemon.log_level": ("`debug`, `info`, `warning` or `error`.", ""),
    "daemon.log_json": ("One JSON object a log line.", ""),
    "daemon.events": ("Write Kubernetes events on pods and nodes.", ""),
    "daemon.events_per_minute": ("Most of them; what is beyond is counted and left out.", "events/min"),
    "daemon.status_config_map": ("NAMESPACE/NAME of a ConfigMap with the status; none: not written.", ""),
    "daemon.stop_s": ("How long orders under way may take to end when the daemon stops.", "s"),
    "hooks.working_folder": ("Current folder of the programs.", ""),
    **{
        f"hooks.{name}.{field}": doc
        for name in HOOKS
        for field, doc in {
            "command": (f"Program and first words, run {_WHEN[name]}.", ""),
            "timeout_s": ("It is killed after so long.", "s"),
            "veto": (
                "A status other than 0 forbids what was to come."
                if name in VETOES
                else "Not for this hook: there is nothing left to forbid.",
                "",
            ),
        }.items()
    },
    "report.currency": ("Money of the pools' prices, for reports.", ""),
    "report.price_per_kwh": ("Price of electricity, for reports.", "money/kWh"),
    "report.retention_days": ("How long decisions, actions and state changes are kept.", "days"),
    "report.recordings_bytes": ("Room for recorded decisions that `clues replay` repeats; the oldest go.", "bytes"),
}

POOL_DOCS: Final[Mapping[str, tuple[str, str]]] = {
    "name": ("Unique name.", ""),
    "driver": ("Its power driver: a name under `drivers`; none: nothing can be ordered here.", ""),
    "min": ("Fewest nodes that scaling in leaves.", "nodes"),
    "max": ("Most nodes.", "nodes"),
    "allocatable": ("What pods may ask of a fresh node: Kubernetes quantities, `{cpu: 4, memory: 8Gi}`.", ""),
    "labels": ("Its labels as registered, with zone, arch and os; the host name is added.", ""),
    "taints": ("Its taints: list of `{key, value, effect}`.", ""),
    "startup_taints": ("Taints that something takes away once the node has started.", ""),
    "price": ("Price of a node, in any one currency.", "1/h"),
    "tier": ("Order of use with the expander `tiers`, lowest first.", ""),
    "powered": ("Its machines are individuals, listed in `machines`.", ""),
    "machines": ("Machines of a powered pool; see below.", ""),
    "node_names": ("Shell pattern of its nodes' names, such as `wn-*`.", ""),
    "node_label": ("`KEY=VALUE` that marks its nodes; with neither: the label `pool` with the pool's name.", ""),
    "keep_node_object": ("A parked machine's Node stays, cordoned and tainted; none: for powered pools.", ""),
    "watts_off": ("Power that a machine draws while it is off (standby).", "W"),
    "watts_idle": ("The same while it is on and idle.", "W"),
    "watts_busy": ("The same under full load.", "W"),
    "boot_s": ("Usual time from order to ready node, for simulation and reports.", "s"),
    "max_booting": (
        "Machines that boot at once over all pools of its driver; none: the driver's `booting` (4 of `plug` and "
        "`poe`, else no limit). With Slurm they are "
        "ordered all, and handed to the driver in turn, by its `booting`.",
        "machines",
    ),
    "headroom": ("Room kept free in this pool: keys as in `policy.headroom`.", ""),
    "min_on_s": ("A machine stays on for at least so long.", "s"),
    "min_off_s": ("A machine stays off for at least so long.", "s"),
    "unneeded_s": ("In place of `policy.unneeded_s`; none: that.", "s"),
}
MACHINE_DOCS: Final[Mapping[str, tuple[str, str]]] = {
    "name": ("Name, unique within the pool.", ""),
    "node": ("Name of its Kubernetes node; none: the same.", ""),
    "address": ("What the driver needs: hardware address, BMC, switch; see the driver's page.", ""),
    "port": ("Port of a switch or BMC, where the driver wants one.", ""),
}
BUDGET_DOCS: Final[Mapping[str, tuple[str, str]]] = {
    "nodes": ("A number or a share, `20%` (rounded up).", ""),
    "pool": ("Of this pool; none: of all together.", ""),
    "reasons": ("Of `empty`, `underused`; none: every reason.", ""),
    "schedule": ("Five cron fields, UTC, of when it begins to hold; none: always.", ""),
    "duration_s": ("How long it holds from then.", "s"),
}
WINDOW_DOCS: Final[Mapping[str, tuple[str, str]]] = {
    "schedule": ("Five cron fields, UTC, of when it begins.", ""),
    "duration_s": ("How long it lasts.", "s"),
    "pool": ("For this pool; none: for all.", ""),
    "min": ("`min` meanwhile; none: as always.", "nodes"),
    "max": ("`max` meanwhile; none: as always.", "nodes"),
    "no_scale_in": ("No node is removed meanwhile.", ""),
}


def describe() -> tuple[Option, ...]:
    """Return every option with its type, default, environment variable, unit and sentence."""
    return options(Settings, "clues", DOCS)


def reference() -> str:
    """Return the tables for docs/reference/clues-settings.md."""
    lines = ["| setting | type | default | environment | unit | meaning |", "|---|---|---|---|---|---|"]
    for option in describe():
        env = f"`{option.env}`" if option.env else ""
        kind = option.type_name.replace("|", "\\|")
        shown = _shown(option.default)
        lines.append(f"| `{option.name}` | {kind} | {shown} | {env} | {option.unit} | {option.doc} |")
    parts = (
        ("A pool (`pools`)", Pool, POOL_DOCS),
        ("A machine (`pools[].machines`)", MachineOption, MACHINE_DOCS),
        ("Headroom (`pools[].headroom`)", Headroom, _HEADROOM),
        ("A budget (`policy.budgets`)", Budgets, BUDGET_DOCS),
        ("A window (`policy.schedules`)", Window, WINDOW_DOCS),
    )
    for title, spec, docs in parts:
        lines += ["", f"## {title}", "", "| key | default | unit | meaning |", "|---|---|---|---|"]
        for field in msgspec.structs.fields(spec):
            sentence, unit = docs[field.name]
            needed = field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT
            lines.append(f"| `{field.name}` | {'needed' if needed else _shown(field.default)} | {unit} | {sentence} |")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    match value:
        case None | "" | () | msgspec.NODEFAULT:
            return "none"
        case bool():
            return "yes" if value else "no"
        case Expander():
            return str(value)
        case float():
            return f"{value:g}"
        case msgspec.Struct():
            return "as `policy.headroom`'s defaults"
        case _:
            return str(list(value)) if isinstance(value, tuple) else str(value) if value != {} else "none"
