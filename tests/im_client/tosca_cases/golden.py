"""Golden cases: what is analysed, and how problems and topologies are written down to be compared.

Run as a program, it writes what the code says now: `python -m tests.im_client.tosca_cases.golden`. Read the difference
before you commit it: each line is a promise to users.
"""

import dataclasses
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from im_client.services.templates import FileReader
from im_client.template.problems import Level
from im_client.topology.model import Artifact, Operation, SourceRef, Topology
from im_client.topology.values import Attribute, Concat, Join, OperationOutput, Token
from im_client.tosca.front import Analysis, analyse
from infracore.secrets import Secret
from tests.im_client.tosca_cases.places import CONTENT, GOLDEN

BROKEN = GOLDEN / "broken"
GOOD = GOLDEN / "good"
EXPECTED = BROKEN / "expected.txt"
ADD_ONS = {"merge-base.yaml": ("merge-addon.yaml",)}
"""Cases that are analysed with add-ons."""
NO_CASE = {"site.yaml", "merge-addon.yaml"}


def cases(folder: Path) -> list[str]:
    """Return the names of the cases: every template, and every folder `csar*`, which becomes an archive."""
    files = [p.name for p in folder.glob("*.yaml") if p.name not in NO_CASE and not p.name.endswith(".expected.yaml")]
    return sorted([*files, *(p.name for p in folder.glob("csar*") if p.is_dir())])


def analysed(folder: Path, case: str, work: Path) -> Analysis:
    """Analyse a case with nothing fetched; `work` is a folder for archives and the cache."""
    template = folder / case
    if template.is_dir():
        template = packed(template, work / f"{case}.csar")
    reader = FileReader(work / "cache", offline=True)
    add_ons = tuple(str(folder / name) for name in ADD_ONS.get(case, ()))
    return analyse(str(template), reader, add_ons=add_ons, require_inputs=False)


def packed(folder: Path, archive: Path) -> Path:
    """Zip a folder into a CSAR, the same bytes each time."""
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            file.writestr(zipfile.ZipInfo(path.relative_to(folder).as_posix()), path.read_bytes())
    return archive


def problem_lines(analysis: Analysis, folder: Path, work: Path) -> list[str]:
    """Write problems as the command line does, without the folders of this computer."""
    lines = (f"{p}{' (warning)' if p.level is Level.WARNING else ''}" for p in analysis.problems)
    return [line.replace(f"{folder}/", "").replace(f"{work}/", "") for line in lines]


def expected_problems(file: Path = EXPECTED) -> dict[str, list[str]]:
    """Read `expected.txt`: a line `== CASE`, then its problems."""
    found: dict[str, list[str]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            lines = found.setdefault(line.removeprefix("== "), [])
        elif line and not line.startswith("#"):
            lines.append(line)
    return found


def told(topology: Topology, folder: Path, work: Path) -> dict[str, Any]:
    """Write a topology as plain data: what differs from the defaults, places left out."""
    told_of = _fields(topology)
    told_of["operations"] = [_operation(o) for o in topology.operations]
    told_of["outputs"] = {o.name: _plain(o.value) for o in topology.outputs}
    text = yaml.safe_dump(told_of, sort_keys=False, width=10_000)
    for place in (f"{folder}/", f"{work}/", f"{CONTENT}/"):
        text = text.replace(place, "")
    return dict(yaml.safe_load(text))


def _operation(operation: Operation) -> dict[str, Any]:
    shown = _fields(operation)
    for name in ("component", "interface", "operation"):  # the id says them
        shown.pop(name)
    shown["tier"] = operation.tier
    return shown


def _fields(value: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if field.default is not dataclasses.MISSING:
            usual = field.default
        else:
            usual = field.default_factory() if field.default_factory is not dataclasses.MISSING else dataclasses.MISSING
        if item == usual or isinstance(item, SourceRef):
            continue
        shown[field.name] = _plain(item)
    if isinstance(value, Artifact):
        shown.pop("digest", None)
    return shown


def _plain(value: Any) -> Any:
    match value:
        case Secret():
            return "***"
        case Enum():
            return value.value
        case Attribute():
            return {"get_attribute": [value.node, *value.path], "scope": value.scope.value}
        case OperationOutput():
            path = [value.node, value.interface, value.operation, value.name]
            return {"get_operation_output": path, "scope": value.scope.value}
        case Concat():
            return {"concat": _plain(value.parts)}
        case Join():
            return {"join": [_plain(value.parts), value.delimiter]}
        case Token():
            return {"token": [_plain(value.text), value.separator, value.index]}
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case tuple() | list():
            return [_plain(item) for item in value]
        case _ if dataclasses.is_dataclass(value):
            return _fields(value)
    return value


class _Indented(yaml.SafeDumper):
    """Indents lists below their key, as yamllint wants it."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _write() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        lines = ["# What is wrong with each broken template, exactly as `im validate` says it.", ""]
        for case in cases(BROKEN):
            lines += [f"== {case}", *problem_lines(analysed(BROKEN, case, work), BROKEN, work), ""]
        EXPECTED.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
        yield str(EXPECTED)
        for case in cases(GOOD):
            analysis = analysed(GOOD, case, work)
            if analysis.topology is None:
                yield f"{case}: {analysis.problems}"
                continue
            target = GOOD / f"{case.removesuffix('.yaml')}.expected.yaml"
            text = yaml.dump(told(analysis.topology, GOOD, work), Dumper=_Indented, sort_keys=False, width=110)
            target.write_text(f"---\n{text}", encoding="utf-8")
            yield str(target)


if __name__ == "__main__":
    for written in _write():
        print(written)
