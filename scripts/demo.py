"""`make demo`: a Slurm cluster on this computer whose workers come with the work, and go when there is none.

May be run again: what is there is used. `make demo-down` (`demo.py down`) takes all of it away. Ends with another
status than 0 when any part fails, the jobs included.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from demo_cluster import IM, NAME, ROOT, Cluster, Failed
from demo_timeline import Sample, draw

from infracore.units import format_duration

WORKERS = 3
IDLE_S = 20
JOB_S = 15
LIMIT_S = 300
INPUTS = f"worker_max: {WORKERS}\nidle_s: {IDLE_S}\nfront_mem: 1536 MiB\nworker_mem: 768 MiB\n"
LOOK = """
while :; do
    date +'at %s.%N'
    squeue --noheader --states=all --format='job %i %T %N'
    clues nodes --json | python3 -c 'import json, sys
for node in json.load(sys.stdin):
    print("node", node["name"], node["state"], node["pods"])'
    echo end
    sleep 0.5
done
"""
_JOB_WORDS = {"PENDING": "pending", "CONFIGURING": "pending", "RUNNING": "running", "COMPLETING": "running"}
_TIMES: list[tuple[str, float]] = []


def main(words: list[str]) -> int:
    """Tell the story, or take everything away."""
    cluster = Cluster()
    try:
        if words == ["down"]:
            cluster.remove()
            print("the demo is gone: machines, server, account and token")
        else:
            tell(cluster)
    except (Failed, subprocess.TimeoutExpired) as error:
        print(f"\nthe demo FAILED: {error}\nto take away what there is: make demo-down", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; to go on: make demo; to take away what there is: make demo-down", file=sys.stderr)
        return 130
    return 0


def tell(cluster: Cluster) -> None:
    """Deploy, submit, watch, draw, and say how to go on."""
    if os.geteuid() != 0:
        raise Failed("it must be run by root: an ordinary user's machines do not reach this computer and each other")
    chapter("1. A front-end, and no worker")
    began = time.monotonic()
    cluster.deploy(INPUTS)
    _TIMES.append(("front-end deployed", time.monotonic() - began))
    story = Story(cluster)
    story.show("sinfo")

    chapter(f"2. {WORKERS} jobs, and nobody to run them")
    story.submit()
    with story.watched() as samples:
        story.wait(samples, "all workers ordered", lambda s: len(s.workers) == WORKERS, is_timed=False)
        story.show("squeue")
        story.show("clues pods")
        story.show(f"clues why job:{story.jobs[0]}")
        chapter("3. The workers come")
        story.wait(samples, "all jobs running", lambda s: all(s.jobs.get(job) != "pending" for job in story.jobs))
        story.show("clues nodes")
        chapter("4. The jobs end, idle workers are drained and go")
        story.wait(samples, "all jobs ended", lambda s: not s.jobs)
        story.wait(samples, "cluesd has seen it", lambda s: "busy" not in s.workers.values(), is_timed=False)
        story.show("clues nodes")
        story.wait(samples, "all workers gone", lambda s: not s.workers)
    seen = [Sample(story.submitted, dict.fromkeys(story.jobs, "pending"), {}), *story.samples]

    chapter("5. What happened")
    print(draw(seen, shutil.get_terminal_size((110, 24)).columns), flush=True)
    story.check(seen)
    reactions(cluster, story.submitted, story.jobs)
    print("\nTimes:")
    for what, seconds in _TIMES:
        print(f"  {what:<48} {format_duration(seconds)}")
    cluster.on_front("clues report --since 30m --html /root/report.html")
    cluster.page.write_text(cluster.on_front("cat /root/report.html"), encoding="utf-8")
    im = IM.relative_to(ROOT) if IM.is_relative_to(ROOT) else IM
    print(
        f"""
The same as a page with drawings: {cluster.page}

Go on with:
  {im} ssh {NAME} front                     log in; then: sbatch --wrap 'sleep 60'; clues pods; clues why worker-1
  {im} show {NAME}                          the machines
  {im} logs {NAME} --ansible                how they were configured
  make demo-down                                  take everything away"""
    )


class Story:
    """The jobs, and what is seen of them and of the workers."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.jobs: list[str] = []
        self.samples: list[Sample] = []
        self.submitted = 0.0
        self._known: dict[str, str] = {}

    def show(self, command: str) -> None:
        """Run a command on the front-end for people to see."""
        print(f"\nfront-1# {command}\n{self.cluster.on_front(command)}", end="", flush=True)

    def submit(self) -> None:
        """Submit the jobs and note when, by the front-end's clock."""
        script = f"#!/bin/sh\n#SBATCH --output=/dev/null\nhostname\nsleep {JOB_S}\n"
        sbatch = f"sbatch --parsable --job-name=demo <<'END'\n{script}END\n"
        said = self.cluster.on_front(f"date +%s.%N\n{sbatch * WORKERS}").split()
        self.jobs = said[1:]
        if len(self.jobs) != WORKERS:
            raise Failed(f"{WORKERS} jobs should have been accepted: {' '.join(said)}")
        print(f"\nfront-1# sbatch ...    ({WORKERS} times)\njobs {', '.join(self.jobs)}", flush=True)
        self.submitted = float(said[0])

    @contextmanager
    def watched(self) -> "Iterator[Iterator[Sample]]":
        """Look at jobs and workers again and again."""
        process = subprocess.Popen(
            self.cluster.front_words(LOOK), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        try:
            yield self._read(process)
        finally:
            process.terminate()
            process.wait(20)

    def _read(self, process: "subprocess.Popen[str]") -> Iterator[Sample]:
        at, jobs, workers = 0.0, {}, {}
        assert process.stdout is not None
        for line in process.stdout:
            match line.split():
                case ["at", text]:
                    at, jobs, workers = float(text), {}, {}
                case ["job", job, state, *_] if job in self.jobs and state in _JOB_WORDS:
                    jobs[job] = _JOB_WORDS[state]
                case ["job", job, state, *_] if job in self.jobs and state != "COMPLETED":
                    raise Failed(f"job {job} is {state}")
                case ["node", name, state, pods] if name.startswith("worker-"):  # it has no name before IM answers
                    workers[name] = "busy" if state == "ready" and pods != "0" else state
                case ["end"]:
                    sample = Sample(at, jobs, workers)
                    self.samples.append(sample)
                    yield sample
                case _:
                    pass
        raise Failed("the front-end does not answer any more")

    def wait(
        self, samples: Iterator[Sample], what: str, holds: Callable[[Sample], bool], *, is_timed: bool = True
    ) -> None:
        """Wait until it holds, telling what changes."""
        began = time.monotonic()
        for sample in samples:
            self._tell(sample)
            if holds(sample):
                if not is_timed:
                    return
                _TIMES.append((f"from jobs submitted to {what}", sample.at - self.submitted))
                return
            if time.monotonic() - began > LIMIT_S:
                raise Failed(f"not within {LIMIT_S} s: {what}")

    def _tell(self, sample: Sample) -> None:
        now = {f"job {job}": state for job, state in sample.jobs.items()} | dict(sample.workers)
        for name, state in now.items():
            if self._known.get(name) != state:
                print(f"  {sample.at - self.submitted:4.0f} s  {name}: {state}", flush=True)
        for name in self._known.keys() - now.keys():
            said = "has ended" if name.startswith("job ") else "is gone"
            print(f"  {sample.at - self.submitted:4.0f} s  {name} {said}", flush=True)
        self._known = now

    def check(self, seen: list[Sample]) -> None:
        """See that just the workers that were needed came, and that the jobs ran on them."""
        came = {name for sample in seen for name in sample.workers}
        done = self.cluster.on_front("scontrol --oneliner show jobs")
        jobs = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in done.splitlines()]
        mine = [job for job in jobs if job["JobId"] in self.jobs]
        if len(came) != WORKERS or {job["NodeList"] for job in mine} - came:
            raise Failed(f"{WORKERS} workers were needed; {', '.join(sorted(came))} came")
        if [job["JobState"] for job in mine] != ["COMPLETED"] * WORKERS:
            raise Failed(f"not all jobs were completed: {[job['JobState'] for job in mine]}")


def reactions(cluster: Cluster, submitted: float, jobs: list[str]) -> None:
    """Read from the log of cluesd and from Slurm how long things took from when the jobs were submitted."""
    log = cluster.on_front(f"journalctl --unit cluesd --output json --no-pager --since @{int(submitted)}")
    lines = [json.loads(line) for line in log.splitlines()]
    ordered = [int(line["__REALTIME_TIMESTAMP"]) / 1e6 for line in lines if "phase=ordering" in line["MESSAGE"]]
    started = [float(cluster.on_front(f'date -d "$(squeue -h -t all -j {job} -o %S)" +%s').strip()) for job in jobs]
    if ordered:
        _TIMES.insert(1, ("from jobs submitted to the power order", max(0.0, min(ordered) - submitted)))
    _TIMES.insert(2, ("from jobs submitted to the first one running", max(0.0, min(started) - submitted)))


def chapter(title: str) -> None:
    """Begin a chapter."""
    print(f"\n== {title}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
