"""Run every benchmark one after another and keep its JSON in benchmarks/out/. Fails when a figure misses its limit."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "benchmarks" / "out"


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all."""
    OUT.mkdir(exist_ok=True)
    failed = []
    for script in sorted((ROOT / "benchmarks").glob("bench_*.py")):
        name = script.stem.removeprefix("bench_")
        if names and name not in names:
            continue
        print(f"== {name}", flush=True)
        done = subprocess.run(
            [sys.executable, script], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False
        )
        (OUT / f"{name}.json").write_text(done.stdout)
        try:
            print(json.dumps(json.loads(done.stdout), indent=1), flush=True)
        except ValueError:
            print(done.stdout)
        if done.returncode != 0:
            failed.append(name)
    if failed:
        print(f"missed a limit, or failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
