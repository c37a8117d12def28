"""Write docs/reference/metrics.md from the metrics themselves. `--check` compares and writes nothing."""

import sys
from pathlib import Path

from clues.daemon.measures import Measures

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "metrics.md"
TEXT = """# Metrics of cluesd

Written by `make docs` from the metrics' own descriptions; not by hand. They are served as `/metrics` on
`daemon.metrics_listen`, in the text format of Prometheus. Times are in seconds, energy is in joules (3.6 million are a
kilowatt-hour), cost is in the currency of the pools' prices.

| metric | type | labels | meaning |
|---|---|---|---|
{rows}
"""


def text() -> str:
    """Return the page."""
    measures = Measures([])
    rows = []
    collectors = {id(c): c for c in measures.metrics.registry._collector_to_names}
    for collector in collectors.values():
        name, labels = collector._name, ", ".join(collector._labelnames)
        kind = collector._type
        shown = f"{name}_total" if kind == "counter" else name
        rows.append(f"| `{shown}` | {kind} | {labels} | {collector._documentation} |")
    return TEXT.replace("{rows}", "\n".join(sorted(rows)))


def main(words: list[str]) -> int:
    """Write the page, or compare it."""
    if "--check" in words:
        return int(not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text())
    PAGE.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
