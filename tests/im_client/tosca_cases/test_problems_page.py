"""`docs/reference/problems.md` explains every code, with an example that is true."""

import re

from im_client.template.problems import Code
from tests.im_client.radl import golden as radl
from tests.im_client.tosca_cases.golden import expected_problems
from tests.im_client.tosca_cases.places import CONTENT

PAGE = (CONTENT / "docs" / "reference" / "problems.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^### `([a-z-]+)`\n\n(.+?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(r"```\n(.+?)\n```\n\nMend: \S", re.DOTALL)


def test_every_code_is_explained_once() -> None:
    assert sorted(match[0] for match in SECTION.findall(PAGE)) == sorted(Code)


def test_every_explanation_has_an_example_that_is_exactly_what_the_code_says() -> None:
    expected = [*expected_problems().values(), *radl.expected_problems().values()]
    true_lines = {line for lines in expected for line in lines}
    for code, text in SECTION.findall(PAGE):
        example = EXAMPLE.search(text)
        assert example is not None, f"{code} has no example with a way to mend it"
        assert example[1] in true_lines, f"the example of {code} is not in expected.txt"
        assert f": {code}: " in example[1]
