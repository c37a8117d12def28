"""A machine of EC2 is saved, another starts from it, and nothing is left of either."""

from pathlib import Path

import pytest

from tests.e2e.ec2_site import ec2_site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {template_name: gold}
topology_template:
  node_templates:
    worker:
      type: tosca.nodes.Compute
      capabilities:
        host: {properties: {num_cpus: 1, mem_size: 1 GB}}
        scalable: {properties: {min_instances: 0, max_instances: 3, default_instances: 1}}
"""


def test_a_machine_is_saved_only_if_told_where_nobody_can_scrub_it_and_others_start_from_it(tmp_path: Path) -> None:
    with ec2_site(tmp_path, _TEMPLATE) as site:
        site.must("deploy", "t.yaml", "-y")
        status, said = site.im.run("image", "save", "gold", "worker-1", "-y")
        assert status != 0
        assert "worker-1 cannot be saved: secrets are removed by root, over ssh" in said
        assert "--unscrubbed" in said
        assert "images" not in site.moto.left()

        site.must("image", "save", "gold", "worker-1", "--name", "wn", "--unscrubbed", "--use", "-y")
        assert site.im.run("image", "list")[1].count("wn") >= 1
        site.must("image", "show", "wn", "--verify")
        site.must("scale", "gold", "worker=2", "-y")
        (image,) = [
            one["ImageId"]
            for one in site.moto.client.describe_images(Owners=["self"])["Images"]
            if one["Name"] == "im-clues wn"
        ]
        started = site.moto.client.describe_instances(Filters=[{"Name": "image-id", "Values": [image]}])
        assert len(started["Reservations"]) == 1

        assert "worker-2" in site.im.run("image", "delete", "wn", "-y")[1]
        site.must("destroy", "gold", "-y")
        assert site.moto.left() == {"images": 1, "snapshots": 1}
        assert site.im.run("orphans")[0] == 0
        assert "snapshot" not in site.im.run("orphans")[1]
        site.must("image", "delete", "wn", "-y")
        assert site.moto.left() == {}
