"""`im --server` through whole life cycles, at our own server and at the original Infrastructure Manager."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rigs.im_words import Im
from tests.rigs.servers import ORIGINAL, OURS, site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.xdist_group("servers")]

RADL = """\
description cluster (name = 'radl-cluster')
network net (outbound = 'yes')
system front (
  cpu.count = 1 and memory.size = 512m and net_interface.0.connection = 'net' and
  net_interface.0.dns_name = 'front' and disk.0.os.name = 'linux' and disk.0.image.url = 'mock0://linux'
)
system worker (
  cpu.count = 1 and memory.size = 512m and net_interface.0.connection = 'net' and
  disk.0.os.name = 'linux' and disk.0.image.url = 'mock0://linux'
)
contextualize ()
deploy front 1
deploy worker @input.workers@
"""


TOSCA = """\
tosca_definitions_version: tosca_simple_yaml_1_0
topology_template:
  inputs:
    mark: {type: string, default: one}
    password: {type: string, default: nothing}
  node_templates:
    front:
      type: tosca.nodes.Compute
      capabilities:
        host: {properties: {num_cpus: 1, mem_size: 512 MB}}
        os: {properties: {type: linux}}
    worker:
      type: tosca.nodes.Compute
      capabilities:
        host: {properties: {num_cpus: 1, mem_size: 512 MB}}
        os: {properties: {type: linux}}
        scalable: {properties: {min_instances: 0, max_instances: 6, default_instances: 2}}
  outputs:
    ip: {value: {get_attribute: [front, private_address]}}
    mark: {value: {get_input: mark}}
    password: {value: {get_input: password}}
"""


_SETTINGS = """\
providers:
  im:
    server: {url}
    auth_file: {auth}
    reachable: no
"""


@pytest.fixture(params=[OURS, ORIGINAL], scope="module")
def im(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Im]:
    with site(request.param, tmp_path_factory.mktemp("server")) as running:
        yield Im(running, tmp_path_factory.mktemp("user"))


def test_a_life_from_radl(im: Im) -> None:
    (im.folder / "cluster.radl").write_text(RADL)
    words = ("cluster.radl", "-i", "workers=2", "--name", "mine")
    planned = im.json("plan", *words)
    assert [(step["action"], step["group"]) for step in planned["steps"]] == [
        ("create", "front"), ("create", "worker"), ("create", "worker"),
    ]  # fmt: skip
    assert im.json("list") == {"infrastructures": []}

    im("deploy", *words, "-y")
    (listed,) = im.json("list")["infrastructures"]
    assert (listed["name"], listed["state"], listed["machines"]) == ("mine", "configured", {"configured": 3})
    infra = listed["id"]
    assert set(im.machines("mine").values()) == {"configured"}
    assert im.machines(infra[:12]).keys() == im.machines("mine").keys()
    assert im("plan", *words, "--detailed-exitcode").count("nothing to do") == 1

    old = im.of_group(infra, "worker")
    im("scale", "mine", "worker=4", "-y")
    workers = im.of_group(infra, "worker")
    assert workers[:2] == old
    assert len(workers) == 4

    im("scale", infra, "--remove", workers[1], "-y")
    assert im.of_group(infra, "worker") == [workers[0], *workers[2:]]
    im("scale", infra, "worker=1", "-y")
    assert im.of_group(infra, "worker") == [workers[0]]

    im("stop", infra, workers[0])
    assert sorted(im.machines(infra).values()) == ["configured", "stopped"]
    assert im.machines(infra)[workers[0]] == "stopped"
    im("start", infra, workers[0])
    assert im.machines(infra)[workers[0]] == "configured"
    im("stop", infra)
    assert set(im.machines(infra).values()) == {"stopped"}
    im("start", infra)
    im("reboot", infra)
    im("reconfigure", infra)
    im("reconfigure", infra, workers[0])
    assert set(im.machines(infra).values()) == {"configured"}

    assert im("logs", infra).strip()
    assert "worker" in im("inventory", infra)
    assert "RADL" in im("outputs", infra, status=2) if im.site.is_original else im("outputs", infra) == ""
    im("refresh", infra)
    im("destroy", infra, "-y")
    assert im.json("list") == {"infrastructures": []}
    assert "no infrastructure" in im("show", infra, status=1)


def test_a_life_from_tosca(im: Im) -> None:
    (im.folder / "cluster.yaml").write_text(TOSCA)
    words = ("cluster.yaml", "--name", "demo")
    im("deploy", *words, "-i", "mark=two", "-i", "password=hush hush", "-y")
    assert im("outputs", "demo", "mark").strip() == "two"
    assert im("outputs", "demo", "password").strip() == "***"
    assert im("outputs", "demo", "password", "--reveal").strip() == "hush hush"
    assert ("10.0.0.1" if im.site.is_original else "198.18.0.") in im("outputs", "demo", "ip")
    assert im.run("deploy", "cluster.yaml", "-y").status == 0  # under the template's own name: another one
    assert sorted(one["name"] for one in im.json("list")["infrastructures"]) == ["cluster", "demo"]
    assert "say --name cluster" in im("deploy", "cluster.yaml", "-y", status=2)
    im("destroy", "cluster", "-y")

    same = ("-i", "mark=two", "-i", "password=hush hush")
    assert im("plan", *words, *same, "--detailed-exitcode").count("nothing to do") == 1
    im("scale", "demo", "worker=4", "-y")
    planned = im.json("plan", *words, *same)
    newest = im.of_group("demo", "worker")[2:]
    assert {(step["action"], step["node"]) for step in planned["steps"]} == {("delete", name) for name in newest}
    assert im.run("plan", *words, *same, "--detailed-exitcode").status == 3
    im("deploy", *words, *same, "-y")
    assert len(im.of_group("demo", "worker")) == 2
    assert {step["action"] for step in im.json("plan", *words, "-i", "mark=three")["steps"]} == {"configure"}
    im("deploy", *words, "-i", "mark=three", "-i", "password=hush hush", "-y")
    assert im("outputs", "demo", "mark").strip() == "three"
    assert len(im.of_group("demo", "worker")) == 2

    assert im.json("plan", "--destroy", "demo")["verb"] == "destroy"
    reported = [line for line in im("destroy", "demo", "-y", "--json").splitlines() if '"type": "report"' in line]
    assert '"state": "done"' in reported[0]
    assert im.json("list") == {"infrastructures": []}


def test_what_a_server_cannot_is_said_in_one_line(im: Im) -> None:
    (im.folder / "cluster.yaml").write_text(TOSCA)
    for words in (
        ("deploy", "cluster.yaml", "-y", "--provider", "local"),
        ("deploy", "cluster.yaml", "-y", "--set", "a=b"),
        ("deploy", "cluster.yaml", "-y", "--no-configure"),
        ("deploy", "cluster.yaml", "-y", "--wait", "3"),
        ("plan", "cluster.yaml", "--out", "x.plan"),
        ("serve",),
        ("user", "list"),
        ("doctor", "--provider", "local"),
    ):
        said = im(*words, status=2)
        assert len([line for line in said.splitlines() if line.startswith("error: ")]) == 1, said
    assert im.json("list") == {"infrastructures": []}
    assert "are taken" in im("doctor")
    assert "nosuch" in im("ssh", "nosuch", "front", status=1)


def test_credentials_that_are_wrong_end_with_their_code(im: Im) -> None:
    wrong = im.folder / "wrong.dat"
    wrong.touch(0o600)
    wrong.write_text("type = InfrastructureManager; username = nobody; password = verysecretword\n")
    done = im.run("list", flags=("--server", im.site.url, "--auth-file", str(wrong)))
    assert done.status == (0 if im.site.is_original else 5)  # the original takes any pair for a user
    assert "verysecretword" not in done.out + done.err
    assert im.run("list", flags=("--server", im.site.url)).status == 5
    assert im.run("list", IM_TOKEN="wrong", flags=("--server", im.site.url)).status == 5


def test_the_page_of_operations_says_what_is_seen(im: Im) -> None:
    script = Path(__file__).resolve().parents[2] / "scripts" / "compare_servers.py"
    spec = importlib.util.spec_from_file_location("compare_servers", script)
    assert spec is not None
    assert spec.loader is not None
    compare = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = compare  # its dataclasses look there
    spec.loader.exec_module(compare)
    page = compare.PAGE.read_text(encoding="utf-8")
    seen = compare.observe(im.site)
    assert len(seen) > 60
    assert compare.written(page)["original" if im.site.is_original else "ours"] == seen
    assert "**not on purpose**" not in page
    im("destroy", "cluster", "-y")


def test_a_template_of_this_computer_gets_its_machines_from_a_server(im: Im) -> None:
    (im.folder / "cluster.yaml").write_text(TOSCA)
    (im.folder / "im.yaml").write_text(_SETTINGS.format(url=im.site.url, auth=im.site.auth_file))
    before = {one["id"] for one in im.json("list")["infrastructures"]}

    def marks() -> list[str]:
        now = [one for one in im.json("list")["infrastructures"] if one["id"] not in before]
        return sorted(one["name"].split("/")[2] for one in now)

    for words in (
        ("deploy", "cluster.yaml", "--name", "here", "--provider", "im", "-y"),
        ("scale", "here", "worker=1", "-y"),
        ("stop", "here"),
        ("start", "here"),
    ):
        done = im.run(*words, flags=())
        assert done.status == 0, done.err
    assert marks() == ["front-1", "worker-1"]
    assert im.run("destroy", "here", "-y", flags=()).status == 0
    assert marks() == []
    (im.folder / "im.yaml").unlink()
