"""Deploy and destroy N instant machines of the `fake` provider: CPU, wall time and memory, and how they grow.

Each N runs in a process of its own, so that its peak of memory is its own. The peer's figures are those of
Infrastructure Manager 2.0.0 with its Dummy cloud (`../shared/facts/im.md`), measured once on a machine of the same
kind: 11.6 s of CPU for 500 machines; 35 s and 184 s of wall time for 500 and 1,000.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from report import emit, figure

SIZES = (1, 10, 100, 500, 1000)
LIMITS_CPU_S = {500: 2.0, 1000: 4.0}
PEER_CPU_S = {500: 11.6}
PEER_WALL_S = {500: 35.0, 1000: 184.0}

TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {{template_name: bench}}
topology_template:
  node_templates:
    node:
      type: tosca.nodes.Compute
      capabilities:
        host: {{properties: {{num_cpus: 1, mem_size: 512 MiB}}}}
        scalable: {{properties: {{min_instances: 1, max_instances: {count}, default_instances: {count}}}}}
"""


def one(count: int) -> dict[str, float]:
    """Deploy and destroy `count` machines in this process."""
    from im_client.services.apply import apply
    from im_client.services.context import open_context
    from im_client.services.model import DeployRequest
    from im_client.services.prepare import prepare_deploy, prepare_destroy

    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder) / "t.yaml"
        template.write_text(TEMPLATE.format(count=count))
        environ = {"IM_STATE_DIR": f"{folder}/state", "IM_CACHE_DIR": f"{folder}/cache", "HOME": folder}
        with open_context(environ=environ, cwd=Path(folder)) as ctx:
            prepare_deploy(ctx, DeployRequest(str(template), provider="fake"))  # types are read once a process
            cpu, wall = time.process_time(), time.perf_counter()
            prepared = prepare_deploy(ctx, DeployRequest(str(template), provider="fake"))
            report = apply(ctx, prepared, listener=lambda _: None, cancel=threading.Event())
            deployed = time.process_time() - cpu, time.perf_counter() - wall
            if report.state.value != "done" or len(report.nodes) != count:
                raise SystemExit(f"{report.state}: {len(report.nodes)} of {count}")
            cpu, wall = time.process_time(), time.perf_counter()
            apply(ctx, prepare_destroy(ctx, report.name), listener=lambda _: None, cancel=threading.Event())
            destroyed = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "deploy_cpu_s": deployed[0],
        "deploy_wall_s": deployed[1],
        "destroy_cpu_s": destroyed[0],
        "destroy_wall_s": destroyed[1],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", type=int, help="run one size in this process")
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(one(chosen.one)))
        return
    figures = []
    measured = {}
    for count in SIZES:
        words = [sys.executable, __file__, "--one", str(count)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=300)
        result = measured[count] = json.loads(done.stdout)
        figures += [
            figure(
                f"deploy {count}, CPU",
                result["deploy_cpu_s"],
                "s",
                limit=LIMITS_CPU_S.get(count),
                peer=PEER_CPU_S.get(count),
            ),
            figure(f"deploy {count}, wall", result["deploy_wall_s"], "s", peer=PEER_WALL_S.get(count)),
            figure(f"destroy {count}, CPU", result["destroy_cpu_s"], "s", limit=LIMITS_CPU_S.get(count)),
        ]
    figures.append(figure("peak memory at 1000", measured[1000]["peak_mib"], "MiB"))
    growth = measured[1000]["deploy_cpu_s"] / (2 * measured[500]["deploy_cpu_s"])
    figures.append(figure("CPU of 1000 over twice that of 500 (1 is linear)", growth, "ratio", limit=1.3))
    sys.exit(emit("deploy", figures))


if __name__ == "__main__":
    main()
