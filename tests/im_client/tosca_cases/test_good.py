"""Templates over the features of Simple Profile 1.0 to 1.3: each becomes exactly the topology beside it."""

from pathlib import Path

import pytest
import yaml

from tests.im_client.tosca_cases.golden import GOOD, analysed, cases, told


@pytest.mark.parametrize("case", cases(GOOD))
def test_a_template_becomes_the_topology_beside_it(case: str, tmp_path: Path) -> None:
    analysis = analysed(GOOD, case, tmp_path)
    assert analysis.problems == ()
    assert analysis.topology is not None
    expected = yaml.safe_load((GOOD / f"{case.removesuffix('.yaml')}.expected.yaml").read_text(encoding="utf-8"))
    assert told(analysis.topology, GOOD, tmp_path) == expected


def test_every_expectation_has_its_template() -> None:
    expectations = {p.name.removesuffix(".expected.yaml") for p in GOOD.glob("*.expected.yaml")}
    assert expectations == {case.removesuffix(".yaml") for case in cases(GOOD)}
