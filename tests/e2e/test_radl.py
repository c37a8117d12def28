"""RADL on machines of this computer: recipes, their variables, parameters, scaling, and the JSON form."""

import json
from pathlib import Path

import pytest

from im_client.radl.front import recorded
from im_client.radl.jsonwriter import write
from tests.e2e.conftest import SITE, Im

pytestmark = [pytest.mark.machines, pytest.mark.ansible, pytest.mark.timeout(600)]


def test_a_document_is_deployed_scaled_and_destroyed(im: Im, tmp_path: Path) -> None:
    document = SITE / "pair.radl"
    words = ("--name", "pair", "-i", "word=hello", "-i", "workers=1")
    assert im.report("deploy", str(document), *words, "-y")["state"] == "done"
    nodes = im.machines("pair")
    assert sorted(nodes) == ["front-1", "worker-1"]
    assert im("ssh", "pair", "front-1", "--", "cat", "/etc/told").stdout == "hello from front-1 to 1\n"
    front = im("ssh", "pair", "worker-1", "--", "cat", "/etc/front", "/etc/radl").stdout.split()
    assert front == [nodes["front-1"]["private_address"], "5"]
    assert im.json("plan", str(document), *words, "--detailed-exitcode")["steps"] == []

    assert im.report("scale", "pair", "worker=2", "-y")["state"] == "done"
    assert im("ssh", "pair", "worker-2", "--", "cat", "/etc/front").stdout.split() == front[:1]
    im("destroy", "pair", "-y")

    in_json = tmp_path / "pair.json"
    text = document.read_text(encoding="utf-8")
    in_json.write_text(json.dumps(write(recorded([(str(document), text)], {"word": "json", "workers": 0}))))
    assert im.report("deploy", str(in_json), "--name", "pair-json", "-y")["state"] == "done"
    assert im("ssh", "pair-json", "front-1", "--", "cat", "/etc/told").stdout == "json from front-1 to 0\n"
