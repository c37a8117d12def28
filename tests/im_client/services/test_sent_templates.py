"""What was sent to a server is read again by the commands on the server's computer."""

from pathlib import Path

import pytest

from im_client.services.templates import FileReader, StoredReader
from im_client.tosca.front import analyse
from im_client.tosca.locations import SENT
from infracore.content import content_folder
from infracore.errors import NotFound


def test_what_was_not_sent_is_nowhere_fetched_from(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="was not sent"):
        FileReader(tmp_path).read(f"{SENT}types.yaml")


def test_a_template_that_was_sent_finds_our_types(tmp_path: Path) -> None:
    text = (content_folder() / "tosca_templates/slurm_cluster.yaml").read_text()
    assert "types/custom_types.yaml" in text
    location = f"{SENT}slurm_cluster.yaml"
    reader = StoredReader({location: text}, FileReader(tmp_path))
    found = analyse(location, reader)
    assert (found.topology is not None, list(found.problems)) == (True, [])
