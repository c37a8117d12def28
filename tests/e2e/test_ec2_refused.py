"""What EC2 refuses, through the command line: the message, the exit code, and what is left in the account."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from infracore.exitcodes import ExitCode
from tests.e2e.ec2_site import Site, ec2_site
from tests.rigs.faults import Fault
from tests.rigs.moto import refusal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_TEMPLATE = """\
tosca_definitions_version: tosca_simple_yaml_1_3
imports: [TYPES]
metadata: {template_name: refused}
topology_template:
  inputs:
    image: {type: string, default: ""}
    cpus: {type: integer, default: 1}
    count: {type: integer, default: 1}
  node_templates:
    node:
      type: tosca.nodes.indigo.Compute
      capabilities:
        endpoint: {properties: {network_name: PUBLIC}}
        host: {properties: {num_cpus: {get_input: cpus}, mem_size: 1 GB}}
        os: {properties: {type: linux, distribution: debian, image: {get_input: image}}}
        scalable: {properties: {count: {get_input: count}}}
"""
_DEPLOY = ("deploy", "t.yaml", "--set", "attempts=2", "-y")
_TYPES = Path(__file__).parents[2] / "tosca_templates" / "types" / "custom_types.yaml"
_NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ec2_site(tmp_path, _TEMPLATE.replace("TYPES", str(_TYPES))) as made:
        yield made


def _said(site: Site, *words: str, status: ExitCode) -> str:
    ended, text = site.im.run(*words)
    text = " ".join(text.split())
    assert "Traceback" not in text
    assert ended == status, text
    return text


def _is_known(site: Site) -> bool:
    return '"refused"' in site.im.run("list", "--json")[1]


@pytest.mark.parametrize(
    ("fault", "more", "status", "words"),
    [
        (refusal("AuthFailure", 401, what="*", times=99), (), ExitCode.CREDENTIALS, ("AuthFailure", "check the keys")),
        (Fault(status=503, times=99), (), ExitCode.FAILED, ("us-east-1", "tried 2 times", "503")),
        (Fault(), ("--set", f"endpoint={_NOWHERE}"), ExitCode.FAILED, (_NOWHERE, "is region us-east-1 of")),
        (Fault(), ("-i", "image=debain-12"), ExitCode.INVALID, ("node cannot be made", "no image 'debain-12'")),
        (Fault(), ("-i", "cpus=6000"), ExitCode.INVALID, ("node cannot be made", "no size fits")),
    ],
    ids=["keys", "region-answers-503", "region-refuses", "image", "size"],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    site: Site, fault: Fault, more: Sequence[str], status: ExitCode, words: Sequence[str]
) -> None:
    site.proxy.plan(fault)
    text = _said(site, *_DEPLOY, *more, status=status)
    assert [word for word in words if word not in text] == []
    site.proxy.plan()
    assert site.moto.left() == {}
    assert not _is_known(site)


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        (refusal("VcpuLimitExceeded", times=99), ExitCode.FAILED, ("VcpuLimitExceeded", "Service Quotas")),
        (refusal("UnauthorizedOperation", 403, times=99), ExitCode.CREDENTIALS, ("UnauthorizedOperation",)),
        (refusal("InsufficientInstanceCapacity", 500, times=99), ExitCode.FAILED, ("another zone, size or site",)),
        (Fault("RunInstances", status=503, times=99), ExitCode.FAILED, ("tried 2 times",)),
    ],
    ids=["quota", "not-allowed", "no-room", "goes-down"],
)
def test_a_machine_that_is_refused_is_told_and_destroying_leaves_nothing(
    site: Site, fault: Fault, status: ExitCode, words: Sequence[str]
) -> None:
    site.proxy.plan(fault)
    text = _said(site, *_DEPLOY, status=status)
    assert [word for word in words if word not in text] == []
    assert "instances" not in site.moto.left()
    site.proxy.plan()
    site.must("destroy", "refused", "-y")
    assert site.moto.left() == {}
    assert not _is_known(site)


@pytest.mark.parametrize(
    ("code", "words"), [("VcpuLimitExceeded", "Service Quotas"), ("ExpiredToken", "check the keys")]
)
def test_what_ends_half_way_keeps_what_was_made_and_goes_on_with_the_same_command(
    site: Site, code: str, words: str
) -> None:
    begin = ("-o", "parallel=1", *_DEPLOY, "-i", "count=3")
    site.proxy.plan(Fault("RunInstances"), refusal(code, times=99))
    text = _said(site, *begin, status=ExitCode.PARTLY_DONE)
    assert code in text
    assert words in text
    assert site.moto.left()["instances"] == 1
    site.proxy.plan()
    site.must(*begin)
    assert site.moto.left()["instances"] == 3
    site.must("destroy", "refused", "-y")
    assert site.moto.left() == {}


def test_a_token_that_expires_while_destroying_is_told_and_the_same_command_ends_it(site: Site) -> None:
    site.must(*_DEPLOY)
    site.proxy.plan(refusal("ExpiredToken", what="Terminate*", times=99))
    assert "ExpiredToken" in _said(site, "destroy", "refused", "-y", status=ExitCode.CREDENTIALS)
    assert site.moto.left()["instances"] == 1
    site.proxy.plan()
    site.must("destroy", "refused", "-y")
    assert site.moto.left() == {}
