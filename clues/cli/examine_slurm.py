"""What `clues doctor` asks Slurm: is it there, can its lists be read, is every machine of a pool one of its nodes."""

from clues.cli.examine import Finding, Severity
from clues.policy.slurm_machines import pool_of_node
from clues.settings import Settings
from clues.slurmapi.commands import Slurm
from clues.slurmapi.rest import SlurmRest
from clues.sources.slurm import Batch
from infracore.errors import InfraError

__all__ = ["examine_changes", "examine_slurm"]


def examine_changes(asked: Batch, commands: Slurm) -> list[Finding]:
    """Where slurmrestd is asked: which API it has, and whether scontrol, by which nodes are drained, works as well."""
    if not isinstance(asked, SlurmRest):
        return []
    found = []
    try:
        found.append(Finding("cluster", "slurmrestd", Severity.OK, f"it answers, and has {asked.version()}"))
    except InfraError as error:
        found.append(Finding("cluster", "slurmrestd", Severity.ERROR, error.message, error.hint))
    try:
        commands.ping()
    except InfraError as error:
        remedy = error.hint or "nodes are drained and resumed by scontrol: install slurm-client here"
        found.append(Finding("cluster", "scontrol", Severity.ERROR, error.message, remedy))
    return found


def examine_slurm(settings: Settings, slurm: Batch) -> list[Finding]:
    """Ask the controller for nodes, jobs and partitions, and compare them with the pools. Changes nothing."""
    try:
        nodes, jobs = slurm.nodes(), slurm.jobs()
        partitions, said = slurm.partitions()
    except InfraError as error:
        return [Finding("cluster", "slurm", Severity.ERROR, error.message, error.hint)]
    text = f"{len(nodes.nodes)} nodes, {len(jobs.jobs)} jobs, {len(partitions)} partitions"
    found = [Finding("cluster", "slurm", Severity.OK, text)]
    found += [
        Finding("cluster", "reading", Severity.WARNING, problem, "please report it with the line of scontrol or squeue")
        for problem in (*nodes.problems, *jobs.problems, *said)[:10]
    ]
    names = {item.node.name for item in nodes.nodes}
    for pool in settings.pools:
        missing = [m.node or m.name for m in pool.machines if (m.node or m.name) not in names]
        if missing:
            text = f"pool {pool.name}: Slurm does not know {', '.join(missing[:5])}"
            found.append(
                Finding(
                    "cluster", "nodes", Severity.ERROR, text, "declare them in slurm.conf, or set `node` of the machine"
                )
            )
        elif not pool.machines and not any(
            pool_of_node(i.node.name, i.node.features, (pool,)) is not None for i in nodes.nodes
        ):
            text = f"pool {pool.name}: no node of Slurm belongs to it"
            found.append(
                Finding(
                    "cluster", "nodes", Severity.ERROR, text, "set node_names, or give its nodes a feature of its name"
                )
            )
    alone = [i.node.name for i in nodes.nodes if pool_of_node(i.node.name, i.node.features, settings.pools) is None]
    if alone:
        text = f"{len(alone)} nodes belong to no pool and are left alone: {', '.join(alone[:5])}"
        found.append(Finding("cluster", "nodes", Severity.OK, text))
    return found
