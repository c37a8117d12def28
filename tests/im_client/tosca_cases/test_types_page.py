"""`docs/reference/tosca.md` lists every type and every function."""

import re

from im_client.tosca.calls import FUNCTIONS
from tests.im_client.tosca_cases.places import CONTENT
from tests.im_client.tosca_cases.test_interface import SECTIONS, TYPES, definitions

PAGE = (CONTENT / "docs" / "reference" / "tosca.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(tosca\.[\w.]+)` \| (.+?) \| `([\w.]+)` \|$", re.MULTILINE)


def test_the_table_has_every_type_with_its_own_description() -> None:
    ours = definitions(TYPES)
    described = {name: d["description"].strip() for section in SECTIONS for name, d in ours[section].items()}
    assert {name: text for name, text, _ in ROW.findall(PAGE)} == described


def test_the_table_names_the_file_that_defines_the_type() -> None:
    for name, _, file in ROW.findall(PAGE):
        assert f"\n  {name}:\n" in (TYPES / file).read_text(encoding="utf-8"), name


def test_every_function_is_explained() -> None:
    functions = PAGE.partition("## Functions")[2].partition("\n## ")[0]
    assert {name for name in FUNCTIONS if f"`{name}: " not in functions} == set()
