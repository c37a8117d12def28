"""Templates in memory: a reader of named texts, and short ways to analyse one."""

import hashlib
import textwrap
from dataclasses import dataclass, field
from typing import Any

from im_client.topology.model import Topology
from im_client.tosca.front import Analysis, analyse
from infracore.errors import NotFound

HEADER = "tosca_definitions_version: tosca_simple_yaml_1_3\n"
CATALOGUE = "https://raw.githubusercontent.com/grycap/tosca/main/custom_types.yaml"
WITH_TYPES = f"{HEADER}imports:\n  - ours: {CATALOGUE}\n"
MAIN = "/templates/main.yaml"


@dataclass
class Texts:
    """Reads locations out of a dict; remembers what it was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def read(self, location: str, /) -> bytes:
        self.asked.append(location)
        if location not in self.files:
            raise NotFound(f"there is no file {location}")
        return self.files[location]

    def digest(self, location: str, /) -> str:
        text = self.files.get(location)
        return "" if text is None else hashlib.sha256(text).hexdigest()


def texts(**files: str | bytes) -> Texts:
    """Make a reader; `a__b` in a name stands for `/templates/a.b`, as `site__yml` for `/templates/site.yml`."""
    return Texts(
        {
            f"/templates/{name.replace('__', '.')}": text.encode() if isinstance(text, str) else text
            for name, text in files.items()
        }
    )


def analysed(template: str | bytes, *add_ons: str, reader: Texts | None = None, **options: Any) -> Analysis:
    """Analyse a template's text with add-ons' texts."""
    reader = reader or Texts()
    reader.files[MAIN] = textwrap.dedent(template).encode() if isinstance(template, str) else template
    names = []
    for index, text in enumerate(add_ons):
        names.append(f"/templates/add{index}.yaml")
        reader.files[names[-1]] = textwrap.dedent(text).encode()
    return analyse(MAIN, reader, add_ons=tuple(names), **options)


def topology(template: str, *add_ons: str, reader: Texts | None = None, **options: Any) -> Topology:
    """Return the topology of a template that has no errors."""
    analysis = analysed(template, *add_ons, reader=reader, **options)
    assert analysis.topology is not None, [str(p) for p in analysis.problems]
    return analysis.topology


def said(analysis: Analysis) -> list[tuple[int, int, str]]:
    """Return line, column and code of each problem."""
    return [(p.line, p.column, p.code.value) for p in analysis.problems]


def nodes(body: str, header: str = HEADER) -> str:
    """Wrap node templates, indented by any number of spaces, into a template."""
    inner = textwrap.indent(textwrap.dedent(body).strip("\n"), "    ")
    return f"{header}topology_template:\n  node_templates:\n{inner}\n"
