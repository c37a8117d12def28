"""CPU that a template costs before anything happens: parse, validate and lower it; and `im --help`.

Ours runs with warm types, as in a server or in the second half of a command. tosca-parser parses and validates the
same template and types in the same process; it refuses one property of it (`get_attribute: [HOST, ...]`), which is
left out for it. IM 2.0 needed 72 ms to parse and 27 ms to lower it on a machine like this one.
"""

import contextlib
import io
import logging
import sys
import tempfile
from pathlib import Path

import report
import yaml

sys.path.insert(0, str(report.repository()))

from im_client.services.templates import FileReader
from im_client.tosca.front import analyse
from im_client.tosca.source import parse

LIMIT_MS = 15.0
HELP_LIMIT_S = 0.25
PARSER = "tosca-parser: parse and validate"


def ours(template: Path, work: Path) -> None:
    """Analyse once, with a reader that has nothing cached."""
    analysis = analyse(str(template), FileReader(work, offline=True))
    if analysis.topology is None:
        raise SystemExit("\n".join(map(str, analysis.problems)))


def cold_s(template: Path) -> float:
    """Return the CPU of a process that analyses once, less that of one that only imports the code."""
    code = (
        "import sys, pathlib; sys.path.insert(0, '.');"
        "from im_client.services.templates import FileReader;"
        "from im_client.tosca.front import analyse;"
    )
    once = f"analyse({str(template)!r}, FileReader(pathlib.Path('.'), offline=True))"
    return report.child_cpu_s([sys.executable, "-c", code + once]) - report.child_cpu_s([sys.executable, "-c", code])


def tosca_parser(template: Path, types: Path, work: Path) -> float:
    """Return the CPU in seconds of tosca-parser for the same template, imports read from disk."""
    from toscaparser.tosca_template import ToscaTemplate

    logging.disable(logging.CRITICAL)
    document = yaml.safe_load(template.read_text(encoding="utf-8"))
    document["imports"] = [{"types": str(types)}]
    del document["topology_template"]["node_templates"]["lrms_front_end"]["properties"]["tls_certificates"]
    copy = work / "kubernetes.yaml"
    copy.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    with contextlib.redirect_stderr(io.StringIO()):
        return report.cpu_s(lambda: ToscaTemplate(str(copy)))


def main() -> int:
    """Measure and print."""
    cases = report.shared_cases()
    if cases is None:
        print("the shared cases are not beside the checkout: set IMCLUES_SHARED", file=sys.stderr)
        return 2
    template = cases / "tosca" / "templates" / "kubernetes.yaml"
    text = template.read_bytes()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        mine_ms = 1000 * report.cpu_s(lambda: ours(template, work), repeat=20)
        from im_client.template.findings import Findings

        yaml_ms = 1000 * report.cpu_s(lambda: parse(text, "kubernetes.yaml", Findings()), repeat=20)
        peer_ms = 1000 * tosca_parser(template, cases / "tosca" / "custom_types.yaml", work)
    call = "from im_client.cli.main import main; main()"
    help_s = report.child_cpu_s([sys.executable, "-c", call, "--help"])
    what = "parse, validate and lower kubernetes.yaml, types warm"
    figures = [
        report.figure(what, mine_ms, "ms CPU", limit=LIMIT_MS, peer=peer_ms, peer_name=PARSER),
        report.figure("of which YAML with lines and columns", yaml_ms, "ms CPU"),
        report.figure("the same in a new process, types read too", 1000 * cold_s(template), "ms CPU"),
        report.figure("im --help", help_s, "s CPU", limit=HELP_LIMIT_S),
    ]
    notes = [f"{template.name}: {len(text)} bytes; each figure is the least of several runs"]
    return report.emit("plan", figures, notes=notes)


if __name__ == "__main__":
    sys.exit(main())
