"""RADL in JSON: the same document as its text."""

import json

import pytest

from im_client.radl.jsonwriter import write as write_json
from im_client.radl.model import Document
from im_client.radl.text import write as write_text
from tests.im_client.radl.documents import document, look, said

TEXT = """
description d (short = 'x')
ansible host (host = '10.0.0.1' and credentials.username = 'u')
network net (outbound = 'yes')
network old
system n (
  cpu.count >= 2 and
  memory.size <= 4G and memory.size >= 1GiB and
  disk.0.os.version >= '20' and
  disk.0.image.url = ['a://x', 'b://y'] and
  disk.0.applications contains (name = 'a' and version = '1') and
  disk.0.applications contains (name = 'b') and
  soft 10 (memory.size >= 2G)
)
configure n (
@begin
- tasks: []
@end
)
configure empty ()
contextualize 60 (
  option ansible_version = '2.9'
  system n configure n step 2 with Ansible
)
deploy n 2 one
"""
JSON = [
    {"class": "description", "id": "d", "short": "x"},
    {"class": "ansible", "id": "host", "host": "10.0.0.1", "credentials.username": "u"},
    {"class": "network", "id": "net", "outbound": "yes"},
    {"class": "network", "id": "old", "reference": True},
    {
        "class": "system",
        "id": "n",
        "cpu.count_min": 2,
        "memory.size_max": 4000000000,
        "memory.size_min": 1073741824,
        "disk.0.os.version": "20",
        "disk.0.image.url": ["a://x", "b://y"],
        "disk.0.applications": [{"name": "a", "version": "1"}, {"name": "b"}],
        "softs": [{"weight": 10, "items": {"memory.size_min": 2000000000}}],
    },
    {"class": "configure", "id": "n", "recipes": "- tasks: []\n"},
    {"class": "configure", "id": "empty", "recipes": None},
    {"class": "deploy", "system": "n", "vm_number": 2, "cloud": "one"},
    {
        "class": "contextualize",
        "max_time": 60,
        "options": {"ansible_version": "2.9"},
        "items": [{"system": "n", "configure": "n", "step": 2}],
    },
]


def _normal(found: Document) -> str:
    return write_text(found).replace(">= '20'", "= '20'")


def test_text_is_written_as_the_server_gives_it() -> None:
    assert write_json(document(TEXT)) == JSON


def test_what_is_written_reads_as_the_same_again() -> None:
    again = document(json.dumps(JSON))
    assert write_json(again) == JSON
    assert document(write_text(again)) == again


def test_one_object_is_a_document_too() -> None:
    assert document('{"class": "system", "id": "n"}').systems[0].name == "n"


def test_ids_that_the_original_makes_up_for_descriptions_are_read() -> None:
    assert document('[{"class": "description", "id": 139875, "name": "x"}]').descriptions[0].name == "description"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[", "1:2: json-syntax: the file ends in the middle"),
        ('[{"class": "system", "id": "n"}', "1:32: json-syntax: , or ] is expected"),
        ("[{'class': 1}]", "1:3: json-syntax: a key in double quotes is expected"),
        ('[{"class" "x"}]', "1:11: json-syntax: a colon is expected behind a key"),
        ('[{"class": x}]', "1:12: json-syntax: a value is expected, and there is x"),
        ('[{"class": "a\nb"}]', "1:12: json-syntax: this text is never closed, or holds a line break"),
        ('["\\q"]', "1:2: json-syntax: this text has a \\ that JSON does not know"),
        ('["\\ud800"]', "1:2: json-syntax: this text has half of a surrogate pair"),
        ("[] []", "1:4: json-syntax: the document is complete, and something follows"),
        ("[1" + "0" * 50 + "]", "1:2: too-large: a number of 51 digits is beyond all use"),
        ("[1e999]", "1:2: not-a-map: an object is expected here"),
        ('[{"class": "deploy", "vm_number": 1e400, "system": ""}]', '1:35: wrong-type: "vm_number" is a whole number'),
    ],
)
def test_broken_json_is_one_problem_at_its_place(text: str, problem: str) -> None:
    assert problem in said(look(text))


def test_sizes_of_json_are_bytes_and_not_texts() -> None:
    analysis = look('[{"class": "system", "id": "n", "memory.size": "4G"}]')
    assert said(analysis) == ['1:48: wrong-type: "memory.size" is a number']


def test_parameters_of_json_stand_in_texts() -> None:
    text = (
        '[{"class":"system","id":"n","cpu.count":"@input.c@"},{"class":"deploy","system":"n","vm_number":"@input.n@"}]'
    )
    given = look(text, inputs={"c": 2, "n": "3"}).topology
    assert given is not None
    assert (given.groups["n"].hardware.num_cpus, given.groups["n"].count) == (2, 3)
    missing = look(text, require_inputs=False)
    assert sorted(missing.inputs) == ["c", "n"]
    assert missing.topology is not None
