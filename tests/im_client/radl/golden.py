"""Golden cases of RADL, told as those of TOSCA are.

Run as a program, it writes what the code says now: `python -m tests.im_client.radl.golden`. Read the difference
before you commit it: each line is a promise to users.
"""

import tempfile
from pathlib import Path

import yaml

from im_client.radl.front import analyse
from im_client.services.templates import FileReader
from im_client.template.analysis import Analysis
from tests.im_client.tosca_cases import golden as tosca
from tests.im_client.tosca_cases.places import GOLDEN

BROKEN = GOLDEN / "radl" / "broken"
GOOD = GOLDEN / "radl" / "good"


def cases(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.suffix in {".radl", ".json"})


def analysed(folder: Path, case: str, work: Path) -> Analysis:
    return analyse(str(folder / case), FileReader(work / "cache", offline=True), require_inputs=False)


def expected_problems() -> dict[str, list[str]]:
    return tosca.expected_problems(BROKEN / "expected.txt")


def problem_lines(analysis: Analysis, folder: Path, work: Path) -> list[str]:
    return tosca.problem_lines(analysis, folder, work)


def topology_text(case: str, work: Path) -> str:
    topology = analysed(GOOD, case, work).topology
    assert topology is not None, problem_lines(analysed(GOOD, case, work), GOOD, work)
    return yaml.safe_dump(tosca.told(topology, GOOD, work), sort_keys=False, width=120)


def expected_topology(case: str) -> Path:
    return GOOD / f"{case}.expected.yaml"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        parts = ["# What is wrong with each broken document, exactly as `im validate` says it.\n"]
        for case in cases(BROKEN):
            lines = problem_lines(analysed(BROKEN, case, work), BROKEN, work)
            parts.append("\n".join([f"== {case}", *lines]) + "\n")
        (BROKEN / "expected.txt").write_text("\n".join(parts), encoding="utf-8")
        for case in cases(GOOD):
            expected_topology(case).write_text(topology_text(case, work), encoding="utf-8")
