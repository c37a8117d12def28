"""Where templates are read: in the thread of their request, or in a child with limits."""

from pathlib import Path

import pytest

from im_client.services.server.bodies import TEMPLATES, GuardedReader
from im_client.services.server.offload import Analyser
from im_client.services.templates import StoredReader
from infracore.errors import TimedOut

LOCATION = f"{TEMPLATES}t.yaml"


@pytest.mark.slow
@pytest.mark.parametrize("word", ["pattern", '"p\\x61ttern"', '"p\\u0061ttern"', '"pat\\\n          tern"'])
def test_an_expression_that_takes_for_ever_ends_with_its_child(word: str, tmp_path: Path) -> None:
    text = f"""\
tosca_definitions_version: tosca_simple_yaml_1_3
topology_template:
  inputs:
    a: {{type: string, default: {"a" * 60}!, constraints: [{{? {word} : (a+)+b}}]}}
"""
    reader = StoredReader({LOCATION: text}, GuardedReader(tmp_path, offline=True))
    with pytest.raises(TimedOut):
        Analyser(limit_s=3.0)(LOCATION, reader)
