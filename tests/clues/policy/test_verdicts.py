"""The shared verdicts of kube-scheduler 1.36's own plugins: the first one that refuses, pod by pod and node by node."""

import gzip
import json
import os
from pathlib import Path

import pytest

from clues.policy.simulation import Simulation
from tests.clues.policy.verdict_lines import to_snapshot

_ROOT = Path(__file__).resolve().parents[3]
CORPUS = Path(os.environ.get("IMCLUES_SHARED") or _ROOT.parent / "shared") / (
    "cases/elasticity/scheduler_verdicts.jsonl.gz"
)


@pytest.mark.slow
@pytest.mark.skipif(not CORPUS.is_file(), reason=f"{CORPUS} is not here")
def test_every_shared_verdict_is_the_schedulers() -> None:
    differences, compared = [], 0
    with gzip.open(CORPUS, "rt", encoding="utf-8") as lines:
        for text in lines:
            line = json.loads(text)
            snapshot = to_snapshot(line)
            simulation = Simulation(snapshot)
            for pod in snapshot.pending:
                kind = simulation.kind_of(pod)
                mask = simulation.mask(kind)
                for name, said in line["verdict"][pod.name].items():
                    index = simulation.index[name]
                    refusal = simulation.refusal(kind, index)
                    found = refusal.rule if refusal else ""
                    compared += 1
                    if found != said or mask[index] != (said == ""):
                        differences.append((line["id"], pod.name, name, said, found, bool(mask[index])))
    assert compared > 10_000
    assert differences == []
