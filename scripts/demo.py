"""`make demo`: a Slurm cluster on this computer, and a job on both of its workers.

May be run again: a cluster that is there is brought to what the template says. Ends with another status than 0
when any part fails, the job included.
"""

import subprocess
import sys
import time
from pathlib import Path

from infracore.units import format_duration

ROOT = Path(__file__).resolve().parent.parent
IM = Path(sys.executable).parent / "im"
TEMPLATE = "tosca_templates/slurm_cluster.yaml"
NAME = "demo"
WORKERS = 2
_TIMES: list[tuple[str, float]] = []


def main() -> int:
    """Deploy, run the job, tell how to go on."""
    if run("im deploy", "deploy", TEMPLATE, "-y", "--name", NAME, quietly=True) != 0:
        return fail(f"the cluster is not complete; to go on: {IM} deploy {TEMPLATE} --name {NAME}")
    print("\nA job on both workers: srun -N2 hostname", flush=True)
    started = time.monotonic()
    job = subprocess.run(
        [IM, "ssh", NAME, "front", "--", "srun", f"-N{WORKERS}", f"-n{WORKERS}", "-t1", "hostname"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    _TIMES.append(("job", time.monotonic() - started))
    hosts = sorted(set(job.stdout.split()))
    print("".join(f"  {host}\n" for host in hosts), end="", flush=True)
    if job.returncode != 0 or len(hosts) != WORKERS:
        sys.stderr.write(job.stderr)
        return fail(f"the job should have run on {WORKERS} workers; it ran on {len(hosts)} (status {job.returncode})")
    print(f"the job ran on {len(hosts)} machines\n\nOutputs:", flush=True)
    if run("", "outputs", NAME) != 0:
        return fail("the outputs could not be read")
    print("\nTimes:")
    for what, seconds in _TIMES:
        print(f"  {what:<10} {format_duration(seconds)}")
    im = IM.relative_to(ROOT) if IM.is_relative_to(ROOT) else IM
    print(
        f"""
Go on with:
  {im} ssh {NAME} front               log in to the front-end
  {im} scale {NAME} worker=3          one more worker
  {im} show {NAME}                    the machines
  {im} destroy {NAME}                 delete all of it"""
    )
    return 0


def run(what: str, *words: str, quietly: bool = False) -> int:
    """Run `im` and keep its time under a name. `quietly`: without its data, which is shown later."""
    started = time.monotonic()
    out = subprocess.DEVNULL if quietly else None
    status = subprocess.call([IM, *words], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out)
    if what:
        _TIMES.append((what, time.monotonic() - started))
    return status


def fail(why: str) -> int:
    """Say why the demo failed."""
    print(f"\nthe demo FAILED: {why}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
