"""What a catalogue offers, and how templates say it."""

import os
from pathlib import Path

import pytest

from im_client.services.catalogue import _paths
from im_client.services.server.catalogue import Catalogue
from infracore.errors import NotFound

HEAD = "tosca_definitions_version: tosca_simple_yaml_1_3\n"


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(HEAD + text)
    return path


def test_ours_are_there_and_the_add_on_leads_to_its_templates(tmp_path: Path) -> None:
    catalogue = Catalogue((str(tmp_path / "absent"),))
    offers = catalogue.all()
    assert {"slurm_cluster", "k3s", "simple_node", "shared_folder"} <= offers.keys()
    assert "custom_types" not in offers
    assert offers["shared_folder"].is_add_on
    assert offers["slurm_cluster"].add_ons == ("shared_folder",)
    assert [offer.name for offer in catalogue.search("NFS slurm elastic")] == ["slurm_elastic"]
    with pytest.raises(NotFound):
        catalogue.find("../../etc/passwd")


def test_what_a_template_says_of_itself(tmp_path: Path) -> None:
    put(
        tmp_path,
        "lab.yml",
        """
metadata:
  template_name: lab
  display_name: "  The\\n lab "
  order: 5
  tag: [a, 7]
  childs: [more.yaml, absent.yaml]
  tabs:
    Size: [cpus, {disk: {tag_type: size}}]
    Net: net_.*
    Broken: "("
    Odd: 7
description: "Two\\n lines"
topology_template: {inputs: {cpus: {type: integer}}}
""",
    )
    put(tmp_path, "more.yaml", "topology_template: {}\n")
    offers = Catalogue((str(tmp_path),)).all()
    lab = offers["lab"]
    assert (lab.title, lab.description, lab.tags, lab.inputs) == ("The lab", "Two lines", ("a", "7"), 1)
    assert lab.add_ons == ("more",)
    assert offers["more"].parents == ("lab",)
    names = ["net_a", "cpus", "x", "disk", "net"]
    assert lab.tabbed(names) == [("Size", ["cpus", "disk"]), ("Net", ["net_a"])]


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "- a",
        "a: b",
        "",
        "x: &a [*a]",
        "metadata: 7",
        "metadata: {tabs: 7, childs: {a: b}, tag: {}, order: x}",
        "\x00",
    ],
)
def test_odd_files_do_no_harm(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    put(tmp_path, "odd2.yaml", text)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "dangling.yaml").symlink_to(tmp_path / "nowhere")
    put(tmp_path, "good.yaml", "metadata: {display_name: Good}\n")
    offers = Catalogue((str(tmp_path),)).all()
    assert offers["good"].title == "Good"
    assert not {"odd", "binary", "folder", "dangling"} & offers.keys()


def test_a_changed_file_is_read_again_and_ours_keep_their_names(tmp_path: Path) -> None:
    catalogue = Catalogue((str(tmp_path),))
    path = put(tmp_path, "lab.yaml", "metadata: {display_name: One}\n")
    put(tmp_path, "k3s.yaml", "metadata: {display_name: Not ours}\n")
    assert catalogue.find("lab").title == "One"
    assert catalogue.find("k3s").title == "K3s cluster"
    put(tmp_path, "lab.yaml", "metadata: {display_name: Two}\n")
    os.utime(path, ns=(1, 1))
    assert catalogue.find("lab").title == "Two"
    path.unlink()
    assert "lab" not in catalogue.all()


def test_what_is_no_template_of_ours_to_read_is_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "deep.yaml").write_text("[" * 200_000)
    (tmp_path / os.fsdecode(b"\xff.yaml")).write_text(HEAD)
    put(tmp_path, "mine.yaml", "")
    found = Catalogue([str(tmp_path)]).all()
    assert "mine" in found
    assert not found.keys() & {"pipe", "deep", os.fsdecode(b"\xff")}


def test_a_folder_that_we_may_not_read_holds_nothing(tmp_path: Path) -> None:
    put(tmp_path, "closed.yaml", "")
    user = os.geteuid()
    tmp_path.chmod(0)
    try:
        if user == 0:  # who may read all
            os.seteuid(65534)
        assert "closed" not in Catalogue([str(tmp_path)]).all()
        assert list(_paths([tmp_path])) == []
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)
