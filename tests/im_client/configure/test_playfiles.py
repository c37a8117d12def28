from pathlib import Path

import pytest
import yaml

from im_client.configure.playfiles import PlayMaker
from infracore.errors import Misconfigured

HEADER: dict[str, object] = {"name": "op", "hosts": "im_play_0", "vars": {"im_play": "0"}, "vars_files": ["/v/x.json"]}


def _made(tmp_path: Path, text: str) -> tuple[PlayMaker, list[Path], Path]:
    home = tmp_path / "author"
    home.mkdir(exist_ok=True)
    source = home / "site.yml"
    source.write_text(text, encoding="utf-8")
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    maker = PlayMaker(out)
    return maker, list(maker.tasks(HEADER, source).paths), source


def _plays(paths: list[Path]) -> list[dict[str, object]]:
    return [play for path in paths for play in yaml.safe_load(path.read_text(encoding="utf-8"))]


def test_a_list_of_tasks_is_imported_where_it_stands(tmp_path: Path) -> None:
    _, paths, source = _made(tmp_path, "- debug: {msg: hi}\n")
    assert _plays(paths) == [{**HEADER, "tasks": [{"ansible.builtin.import_tasks": str(source)}]}]


def test_an_empty_file_is_a_play_without_tasks(tmp_path: Path) -> None:
    _, paths, _ = _made(tmp_path, "---\n")
    assert len(_plays(paths)) == 1


def test_a_play_gets_our_machines_and_loses_its_local_connection(tmp_path: Path) -> None:
    text = "- hosts: localhost\n  connection: local\n  become: true\n  tasks: [{debug: {msg: hi}}]\n"
    (play,) = _plays(_made(tmp_path, text)[1])
    assert play == {**HEADER, "become": True, "tasks": [{"debug": {"msg": "hi"}}]}


def test_another_connection_than_the_local_one_is_kept(tmp_path: Path) -> None:
    (play,) = _plays(_made(tmp_path, "- hosts: all\n  connection: paramiko\n")[1])
    assert play["connection"] == "paramiko"


def test_the_author_s_variables_stay_and_ours_come_after_them(tmp_path: Path) -> None:
    text = "- hosts: all\n  vars: {a: 1, im_play: other}\n  vars_files: [mine.yml]\n"
    (play,) = _plays(_made(tmp_path, text)[1])
    assert play["vars"] == {"a": 1, "im_play": "0"}
    assert play["vars_files"] == ["mine.yml", "/v/x.json"]


def test_every_play_of_a_playbook_runs_in_order_also_the_imported_ones(tmp_path: Path) -> None:
    (tmp_path / "author" / "sub").mkdir(parents=True)
    (tmp_path / "author" / "sub" / "inner.yml").write_text("- hosts: b\n  tags: [inner]\n", encoding="utf-8")
    text = "- hosts: a\n  tags: [one]\n- import_playbook: sub/inner.yml\n- hosts: c\n  tags: [three]\n"
    plays = _plays(_made(tmp_path, text)[1])
    assert [play["tags"] for play in plays] == [["one"], ["inner"], ["three"]]
    assert {play["hosts"] for play in plays} == {"im_play_0"}


def test_a_playbook_that_imports_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="nests"):
        _made(tmp_path, "- import_playbook: site.yml\n")


def test_lines_lead_back_to_the_author_s_file(tmp_path: Path) -> None:
    text = "# comment\n\n- hosts: localhost\n  connection: local\n  tasks:\n\n"
    text += "    - name: one\n      debug:\n\n    - name: two\n"
    maker, (path,), source = _made(tmp_path, text)
    made = path.read_text(encoding="utf-8").splitlines()
    for name, line in (("one", 7), ("two", 10)):
        number = next(n for n, text in enumerate(made, 1) if f"name: {name}" in text)
        assert maker.lines.origin(str(path), number) == (str(source), line)
    assert maker.lines.origin("/elsewhere.yml", 3) == ("/elsewhere.yml", 3)


def test_what_stands_beside_a_playbook_is_beside_the_written_one(tmp_path: Path) -> None:
    (tmp_path / "author" / "templates").mkdir(parents=True)
    (tmp_path / "author" / "templates" / "t.j2").write_text("text", encoding="utf-8")
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "more.yml").write_text("[]", encoding="utf-8")
    maker, (path,), source = _made(tmp_path, "- hosts: a\n  tasks: [{import_tasks: ../beside/more.yml}]\n")
    assert (path.parent / "templates" / "t.j2").read_text(encoding="utf-8") == "text"
    assert (path.parent / "../beside/more.yml").exists()
    assert maker.lines.origin(f"{path.parent}/templates/t.j2", 5) == (f"{source.parent}/templates/t.j2", 5)


def test_tags_and_anchors_of_yaml_survive(tmp_path: Path) -> None:
    text = "- hosts: a\n  vars:\n    secret: !vault |\n      $ANSIBLE_VAULT;1.1\n"
    text += "    x: &x [1]\n    y: *x\n    z: !unsafe '{{ a }}'\n"
    written = _made(tmp_path, text)[1][0].read_text(encoding="utf-8")
    assert "!vault" in written
    assert "!unsafe" in written


@pytest.mark.parametrize("text", ["a: b\n", "just text\n", "- [\n", "\x00"])
def test_what_is_no_playbook_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    with pytest.raises(Misconfigured, match=r"site\.yml"):
        _made(tmp_path, text)


@pytest.mark.parametrize("key", ["tasks", "roles", "pre_tasks", "post_tasks"])
def test_a_play_of_a_recipe_has_no_hosts_and_gets_ours(tmp_path: Path, key: str) -> None:
    (play,) = _plays(_made(tmp_path, f"- vars: {{a: 1}}\n  {key}: []\n")[1])
    assert play == {**HEADER, "vars": {"a": 1, "im_play": "0"}, key: []}
