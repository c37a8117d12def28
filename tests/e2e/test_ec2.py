"""The catalogue's templates, unchanged, at EC2: made, seen, scaled, stopped, destroyed. moto's machines take no ssh."""

import json
from pathlib import Path

import pytest

from tests.e2e.ec2_site import ec2_site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_CATALOGUE = Path(__file__).parents[2] / "tosca_templates"
_IMPORT = "types/custom_types.yaml"


def _template(name: str) -> str:
    text = (_CATALOGUE / f"{name}.yaml").read_text()
    text = text.replace("types/", f"{_CATALOGUE}/types/").replace("../playbooks", f"{_CATALOGUE.parent}/playbooks")
    assert _IMPORT in text
    return text


def test_a_machine_with_a_disk_and_an_address_comes_and_goes(tmp_path: Path) -> None:
    with ec2_site(tmp_path, _template("simple_node_disk")) as site:
        site.must("plan", "t.yaml", "-i", "disk=3 GB")
        assert site.moto.left() == {}
        site.must("deploy", "t.yaml", "--name", "disk", "-i", "disk=3 GB", "-y")
        assert site.moto.left() == {"instances": 1, "volumes": 2, "addresses": 1, "groups": 2, "keys": 1}
        address = site.moto.client.describe_addresses()["Addresses"][0]["PublicIp"]
        status, said = site.im.run("outputs", "disk")
        assert status == 0
        assert address in said
        site.must("stop", "disk")
        site.must("start", "disk")
        assert site.moto.client.describe_addresses()["Addresses"][0]["PublicIp"] == address
        site.must("destroy", "disk", "-y")
        assert site.moto.left() == {}


def test_a_slurm_cluster_is_made_scaled_and_destroyed(tmp_path: Path) -> None:
    with ec2_site(tmp_path, _template("slurm_cluster")) as site:
        site.must("deploy", "t.yaml", "--name", "slurm", "-y")
        first = site.moto.left()["instances"]
        names = [tag["Value"] for tag in site.moto.client.describe_tags()["Tags"] if tag["Key"] == "im-clues-name"]
        assert any(name.startswith("front") for name in names)
        site.must("scale", "slurm", f"worker={first}", "-y")
        assert site.moto.left()["instances"] == first + 1
        site.must("scale", "slurm", "worker=1", "-y")
        assert site.moto.left()["instances"] == 2
        status, said = site.im.run("show", "slurm", "--json")
        assert status == 0
        shown = json.loads(said)
        assert shown["provider"] == "aws"
        site.must("destroy", "slurm", "-y")
        assert site.moto.left() == {}
