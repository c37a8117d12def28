"""CSAR archives: found entries, files by name, and archives that want to get out."""

import io
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from im_client.tosca.csar import Archive, unpack
from im_client.tosca.front import analyse
from infracore.errors import Misconfigured, NotFound
from tests.im_client.tosca.reading import HEADER, Texts, nodes

META = "TOSCA-Meta-File-Version: 1.0\nEntry-Definitions: defs/app.yaml\n"
APP = nodes(
    "m: {type: tosca.nodes.Compute}\n"
    "a: {type: x.App, requirements: [host: m], interfaces: {Standard: {configure: ../books/site.yml}}}\n",
    f"{HEADER}imports: [types.yaml]\n",
)
TYPES = f"{HEADER}node_types:\n  x.App: {{derived_from: tosca.nodes.SoftwareComponent}}\n"


def packed(**files: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return data.getvalue()


WHOLE = packed(
    **{"TOSCA-Metadata/TOSCA.meta": META, "defs/app.yaml": APP, "defs/types.yaml": TYPES, "books/site.yml": "[]"}
)


def codes(data: bytes) -> list[str]:
    return [p.code.value for p in analyse("/c/app.csar", Texts({"/c/app.csar": data})).problems]


def test_the_entry_its_imports_and_its_playbooks_come_from_the_archive() -> None:
    reader = Texts({"/c/app.csar": WHOLE})
    analysis = analyse("/c/app.csar", reader)
    assert not analysis.problems
    assert analysis.topology is not None
    operation = analysis.topology.operations[0]
    assert operation.implementation.location == "/c/app.csar!/books/site.yml"
    assert len(operation.implementation.digest) == 64
    assert reader.asked == ["/c/app.csar"]


def test_a_recorded_archive_reads_as_the_archive_itself() -> None:
    first = analyse("/c/app.csar", Texts({"/c/app.csar": WHOLE}))
    again = analyse("/c/app.csar", Texts({name: text.encode() for name, text in first.files.items()}))
    assert again == first


def test_a_single_template_at_the_root_is_the_entry() -> None:
    assert codes(packed(**{"app.yaml": nodes("m: {type: tosca.nodes.Compute}\n"), "readme.md": "x"})) == []


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"readme.md": "x"},
        {"a.yaml": "x", "b.yaml": "y"},
        {"TOSCA-Metadata/TOSCA.meta": "Entry-Definitions: absent.yaml\n"},
        {"TOSCA-Metadata/TOSCA.meta": "nothing\n", "a.yaml": "x"},
        {"../a.yaml": "x"},
        {"/etc/a.yaml": "x"},
        {"C:/a.yaml": "x"},
    ],
)
def test_archives_that_are_refused(files: dict[str, str]) -> None:
    assert codes(packed(**files)) == ["bad-archive"]


def test_a_link_a_bomb_and_a_broken_file_are_refused() -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        link = zipfile.ZipInfo("a.yaml")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert codes(data.getvalue()) == ["bad-archive"]
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.yaml", b"\0" * 2**24)
    assert codes(data.getvalue()) == ["bad-archive"]
    assert codes(WHOLE[: len(WHOLE) // 2]) == ["bad-archive"]
    assert codes(b"PK\x03\x04" + b"junk") == ["bad-archive"]


def test_names_that_lead_out_of_the_archive_are_refused() -> None:
    escape = APP.replace("../books/site.yml", "../../../etc/passwd").replace("types.yaml", "../../types.yaml")
    data = packed(**{"TOSCA-Metadata/TOSCA.meta": META, "defs/app.yaml": escape})
    reader = Texts({"/c/app.csar": data})
    found = [p.code.value for p in analyse("/c/app.csar", reader).problems]
    assert "import-refused" in found
    assert reader.asked == ["/c/app.csar"]


def test_unpack_writes_everything_below_the_folder(tmp_path: Path) -> None:
    entry = unpack(WHOLE, tmp_path)
    assert entry == tmp_path / "defs/app.yaml"
    assert (tmp_path / "books/site.yml").read_text() == "[]"


def test_an_absent_name_is_not_found() -> None:
    with pytest.raises(NotFound):
        Archive(WHOLE).read("absent")


@settings(deadline=None)
@example(WHOLE.index(b"PK\x01\x02") + 46, b"\0")  # the first name of the directory begins with a NUL: it is empty
@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=6))
def test_no_damage_to_an_archive_raises(at: int, junk: bytes) -> None:
    data = WHOLE[:at] + junk + WHOLE[at + len(junk) :]
    try:
        archive = Archive(data)
        for name in archive.names():
            archive.read(name)
        archive.entry()
    except (Misconfigured, NotFound):
        pass
    analyse("/c/app.csar", Texts({"/c/app.csar": data}))
