import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from im_client.inventory.build import Entry, document, plain, text_ini, text_json, text_yaml
from im_client.inventory.read import read_ini, read_yaml
from im_client.topology.values import Attribute
from infracore.errors import Misconfigured
from infracore.secrets import Secret

ENTRIES = (
    Entry("front-0", ("front",), {"ansible_host": "10.0.0.1", "ansible_port": 22, "note": "a b", "pw": Secret("hush")}),
    Entry("wn-0", ("wn", "workers"), {"ansible_host": "10.0.0.2", "ansible_become": True}),
)


def test_no_text_for_people_holds_a_secret() -> None:
    texts = text_yaml(ENTRIES) + text_ini(ENTRIES) + text_json(document(ENTRIES)) + repr(ENTRIES)
    assert "hush" not in texts


def test_a_secret_for_ansible_is_never_taken_for_a_template() -> None:
    inventory = json.loads(text_json(document(ENTRIES, reveal=True)))
    assert inventory["all"]["hosts"]["front-0"]["pw"] == {"__ansible_unsafe": "hush"}


def test_a_value_that_is_not_known_yet_is_refused() -> None:
    with pytest.raises(ValueError, match="Attribute"):
        plain({"x": (Attribute("front", ("private_address",)),)})


def test_groups_and_extra_groups_list_their_machines() -> None:
    inventory = document(ENTRIES, extra_groups={"all_of_it": ["front-0", "wn-0"], "none": []}, variables={"v": 1})
    top = inventory["all"]
    assert isinstance(top, dict)
    assert top["vars"] == {"v": 1}
    assert top["children"] == {
        "front": {"hosts": {"front-0": None}},
        "wn": {"hosts": {"wn-0": None}},
        "workers": {"hosts": {"wn-0": None}},
        "all_of_it": {"hosts": {"front-0": None, "wn-0": None}},
        "none": {"hosts": {}},
    }


@pytest.mark.parametrize("form", ["yaml", "ini"])
def test_what_is_written_is_read_again(form: str) -> None:
    if form == "yaml":
        found = read_yaml(yaml.safe_load(text_yaml(ENTRIES, comment="mine")))
    else:
        found = read_ini(text_ini(ENTRIES, comment="mine"))
    by_name = {entry.name: entry for entry in found}
    assert by_name["wn-0"].groups == ("wn", "workers")
    assert by_name["wn-0"].variables == {"ansible_host": "10.0.0.2", "ansible_become": True}
    assert by_name["front-0"].variables == {"ansible_host": "10.0.0.1", "ansible_port": 22, "note": "a b"}


INI = """
# a comment
lonely ansible_host=10.0.0.9
[rack]
one ansible_host=10.0.0.1 ansible_user="a b"   # behind a line
two
[pi]
three
[rack:vars]
ansible_user = rackuser
ansible_port=2222
[both:children]
rack
pi
[both:vars]
ansible_port=22
[all:vars]
site=here
"""
YAML = """
all:
  vars: {site: here}
  hosts: {lonely: {ansible_host: 10.0.0.9}}
  children:
    both:
      vars: {ansible_port: 22}
      children:
        rack:
          vars: {ansible_user: rackuser, ansible_port: 2222}
          hosts: {one: {ansible_host: 10.0.0.1, ansible_user: a b}, two: }
        pi: {hosts: {three: }}
"""


@pytest.mark.parametrize("form", ["yaml", "ini"])
def test_the_inner_group_and_then_the_machine_win_as_ansible_has_it(form: str, tmp_path: Path) -> None:
    text = YAML if form == "yaml" else INI
    found = read_yaml(yaml.safe_load(text)) if form == "yaml" else read_ini(text)
    variables = {entry.name: dict(entry.variables) for entry in found}
    assert variables == {
        "lonely": {"site": "here", "ansible_host": "10.0.0.9"},
        "one": {"site": "here", "ansible_host": "10.0.0.1", "ansible_user": "a b", "ansible_port": 2222},
        "two": {"site": "here", "ansible_user": "rackuser", "ansible_port": 2222},
        "three": {"site": "here", "ansible_port": 22},
    }


@pytest.mark.ansible
@pytest.mark.parametrize("form", ["yaml", "ini"])
def test_ansible_reads_the_same(form: str, tmp_path: Path) -> None:
    text = YAML if form == "yaml" else INI
    file = tmp_path / f"hosts.{form}"
    file.write_text(text)
    found = read_yaml(yaml.safe_load(text)) if form == "yaml" else read_ini(text)
    program = Path(sys.executable).with_name("ansible-inventory")
    said = subprocess.run([program, "-i", file, "--list"], capture_output=True, text=True, check=True, timeout=60)
    theirs = json.loads(said.stdout)["_meta"]["hostvars"]
    assert {entry.name: dict(entry.variables) for entry in found} == theirs


@pytest.mark.parametrize(
    "text",
    [
        "[a]\nnode[1:3]\n",
        "[a]\none x\n",
        "[a:vars]\nx\n",
        "[a:children]\nb\n[b:children]\na\n[a]\n[b]\n[c:children]\na",
        '[a]\none x="\n',
    ],
)
def test_what_only_ansible_can_resolve_is_refused_in_ini(text: str) -> None:
    with pytest.raises(Misconfigured):
        read_ini(text)


@pytest.mark.parametrize(
    "text", ["[a, b]", "all: [a]", "all: {host: {a: }}", "all: {hosts: {'n[1:3]': }}", "all: {hosts: {a: 1}}"]
)
def test_what_is_no_inventory_is_refused_in_yaml(text: str) -> None:
    with pytest.raises(Misconfigured):
        read_yaml(yaml.safe_load(text))
