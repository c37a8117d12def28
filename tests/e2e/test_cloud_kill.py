"""Killed between any two requests to a cloud, a deployment goes on where it was: nothing twice, nothing left over."""

from itertools import zip_longest
from pathlib import Path

import pytest

from infracore.exitcodes import ExitCode
from tests.e2e.ec2_site import ec2_site
from tests.rigs.faults import Call, Fault
from tests.rigs.moto import refusal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
metadata: {template_name: kill}
topology_template:
  node_templates:
    node:
      type: tosca.nodes.Compute
      capabilities:
        endpoint: {properties: {network_name: PUBLIC}}
        host: {properties: {num_cpus: 1, mem_size: 1 GB}}
        os: {properties: {type: linux, distribution: debian}}
      requirements:
        - local_storage:
            node: data
            relationship: {type: tosca.relationships.AttachesTo, properties: {location: /srv}}
    data:
      type: tosca.nodes.BlockStorage
      properties: {size: 2 GB}
"""
_ALL = {"instances": 1, "volumes": 2, "addresses": 1, "groups": 2, "keys": 1}


_DEPLOY = ("deploy", "t.yaml", "-y")
_DESTROY = ("destroy", "kill", "-y")


def _gaps(calls: list[Call]) -> list[Fault]:
    """Return a kill for every gap between two requests that leaves another world or another record behind.

    Between two that only look nothing changes: of such gaps the first stands for all.
    """
    changes = {call.number for call in calls if not call.what.startswith("Describe")}
    before = [call.number for call in calls if call.number == 1 or {call.number, call.number - 1} & changes]
    return [Fault(number=n, kills="before") for n in before] + [Fault(number=n, kills="after") for n in sorted(changes)]


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.long), 4])
def test_killed_in_any_gap_a_deployment_is_finished_once_and_a_destruction_leaves_nothing(
    step: int, tmp_path: Path
) -> None:
    """In every gap, or, where minutes are too long, in every fourth."""
    with ec2_site(tmp_path, _TEMPLATE) as site:
        site.must(*_DEPLOY)
        deploying = _gaps(site.proxy.calls)
        assert site.moto.left() == _ALL
        site.proxy.plan()
        site.must(*_DEPLOY)
        assert [call.what for call in site.proxy.calls] == ["DescribeInstances"], "nothing is left to do"
        site.proxy.plan()
        site.must(*_DESTROY)
        destroying = _gaps(site.proxy.calls)
        assert site.moto.left() == {}
        assert len(deploying) > 15 > len(destroying) - 5 > 5

        for begun, ended in zip_longest(deploying[::step], destroying[::step]):
            where = f"killed {begun}, then {ended}"
            if begun is not None:
                site.killed(begun, *_DEPLOY)
            site.must(*_DEPLOY)
            assert site.moto.left() == _ALL, where
            if ended is not None:
                site.killed(ended, *_DESTROY)
            site.must(*_DESTROY)
            assert site.moto.left() == {}, where


def test_what_may_not_be_removed_is_said_and_goes_with_the_next_destroy(tmp_path: Path) -> None:
    with ec2_site(tmp_path, _TEMPLATE) as site:
        site.must(*_DEPLOY)
        site.proxy.plan(refusal("UnauthorizedOperation", 403, what="DeleteKeyPair"))
        status, said = site.im.run(*_DESTROY)
        assert status == ExitCode.PARTLY_DONE
        assert "still there: key pair im-clues-" in said
        assert site.moto.left() == {"keys": 1}
        assert site.im.run("list")[1].count("kill") >= 1
        site.must(*_DESTROY)
        assert site.moto.left() == {}
        assert site.im.run(*_DESTROY)[0] != 0, "it is forgotten"
