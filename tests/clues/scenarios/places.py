"""Where scenarios and verdicts are; the shared ones are read where they stand and absent in a fresh clone."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("IMCLUES_SHARED") or ROOT.parent / "shared") / "cases" / "elasticity"
OWN = Path(__file__).with_name("own.yaml")
SCENARIOS = SHARED / "scenarios.yaml"
VERDICTS = SHARED / "scheduler_verdicts.jsonl.gz"
