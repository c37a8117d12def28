"""Reading documents in tests."""

from collections.abc import Mapping

from im_client.radl.front import analyse, read_document
from im_client.radl.model import Document
from im_client.template.analysis import Analysis
from im_client.template.findings import Findings
from im_client.topology.model import Topology
from infracore.errors import NotFound


class Texts:
    """A reader of texts by name."""

    def __init__(self, texts: Mapping[str, str | bytes]) -> None:
        self._texts = texts

    def read(self, location: str, /) -> bytes:
        if location not in self._texts:
            raise NotFound(f"there is no file {location}")
        text = self._texts[location]
        return text.encode() if isinstance(text, str) else text

    def digest(self, location: str, /) -> str:
        return ""


def look(text: str | bytes, *add_ons: str, **given: object) -> Analysis:
    """Analyse a document called doc.radl with add-ons."""
    names = tuple(f"add-{number}.radl" for number in range(len(add_ons)))
    reader = Texts({"doc.radl": text, **dict(zip(names, add_ons, strict=True))})
    return analyse("doc.radl", reader, add_ons=names, **given)  # type: ignore[arg-type]


def said(analysis: Analysis) -> list[str]:
    """Return the problems, without the name of the file."""
    return [str(p).split(":", 1)[1] for p in analysis.problems]


def topology(text: str, *add_ons: str, **given: object) -> Topology:
    """Return the topology of a document without errors."""
    analysis = look(text, *add_ons, **given)
    assert analysis.topology is not None, said(analysis)
    return analysis.topology


def document(text: str | bytes) -> Document:
    """Return a document that can be read."""
    findings = Findings()
    read = read_document(text.encode() if isinstance(text, str) else text, "doc.radl", {}, findings)
    assert read is not None
    assert not findings.has_errors, findings.all()
    return read[0]
