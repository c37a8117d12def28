"""`im --server` through whole life cycles, at our own server and at the original Infrastructure Manager."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rigs.im_serve import im_serve
from tests.rigs.im_words import Im
from tests.rigs.servers import ORIGINAL, OURS, Site, site

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
        ("worker",),
        ("clone", "demo", "other", "-y", "--wait", "3"),
        ("image", "save", "demo", "front", "-y", "--without", "/x"),
        ("image", "save", "demo", "front", "-y", "--use"),
        ("image", "show", "one", "--verify"),
        ("doctor", "--provider", "local"),
    ):
        said = im(*words, status=2)
        assert len([line for line in said.splitlines() if line.startswith("error: ")]) == 1, said
    elsewhere = {"IM_SERVER": im.site.url, "IM_REMOTE_AUTH_FILE": str(im.site.auth_file)}
    done = im.run("image", "save", "demo", "front", "-y", "--use", flags=(), **elsewhere)  # nor is it done here
    assert (done.status, done.err.count("a server's machines")) == (2, 1), done.err
    assert "there is no account" in im.run("user", "list", flags=(), **elsewhere).err  # those of this computer
    assert im.json("list") == {"infrastructures": []}
    assert "are taken" in im("doctor")
    assert "nosuch" in im("ssh", "nosuch", "front", status=1)


def test_a_clone_is_another_one_of_the_same(im: Im) -> None:
    (im.folder / "cluster.yaml").write_text(TOSCA.replace("default: nothing", "default: random(20)"))
    (im.folder / "cluster.radl").write_text(RADL)
    im("deploy", "cluster.yaml", "--name", "demo", "-i", "mark=two", "-y")
    planned = im.json("clone", "demo", "test", "--plan")
    assert [step["group"] for step in planned["steps"]] == ["front", "worker", "worker"]
    assert [one["name"] for one in im.json("list")["infrastructures"]] == ["demo"]
    im("scale", "demo", "worker=3", "-y")
    im("clone", "demo", "test", "-y")
    assert len(im.machines("test")) == 3
    im("clone", "test", "third", "-i", "mark=three", "-y")
    assert [im("outputs", name, "mark").strip() for name in ("demo", "test", "third")] == ["two", "two", "three"]
    assert set(im.machines("third").values()) == {"configured"}
    assert len(im.machines("third")) == 3
    made = [im("outputs", name, "password", "--reveal").strip() for name in ("demo", "test")]
    assert (len(made[0]), len(made[1])) == (20, 20)
    assert (made[0] == made[1]) is im.site.is_original  # ours makes values anew; the original has text alone
    assert "already" in im("clone", "demo", "test", "-y", status=2)
    assert "nosuch" in im("clone", "nosuch", "other", "-y", status=1)
    assert im.run("clone", "demo", "fourth", "-y", "-i", "nosuch=1").status == 2
    assert im.run("clone", "demo", "fourth", "-y", "--provider", "local").status == 2
    im("deploy", "cluster.radl", "-i", "workers=1", "--name", "plain", "-y")
    im("clone", "plain", "again", "-y")
    assert len(im.machines("again")) == 2
    names = ("demo", "test", "third", "plain", "again")
    assert {one["name"] for one in im.json("list")["infrastructures"]} == set(names)
    for name in names:
        im("destroy", name, "-y")


def test_images_are_saved_listed_and_deleted_where_they_can_be(im: Im) -> None:
    (im.folder / "cluster.radl").write_text(RADL)
    im("deploy", "cluster.radl", "-i", "workers=1", "--name", "demo", "-y")
    before = im.json("image", "list")["images"]
    saved = im.json("image", "save", "demo", "front", "--name", "my front", "-y")
    assert saved["name"] == "my front"
    assert set(im.machines("demo").values()) == {"configured"}
    if im.site.is_original:  # its Dummy cloud lists what it has always had
        assert saved["id"].startswith("mock0://")
        assert im.json("image", "list")["images"] == before
        found = im.json("image", "show", before[0]["name"])
        assert found["id"] == before[0]["id"]
        assert "deletes no images" in im("image", "delete", before[0]["name"], "-y", status=2)
    else:
        (listed,) = im.json("image", "list")["images"]
        assert (listed["name"], listed["id"], listed["site"]) == ("my front", saved["id"], "dummy")
        assert im.json("image", "show", "my front") == im.json("image", "show", saved["id"]) == listed
        im("image", "delete", "my front", "-y")
        assert im.json("image", "list")["images"] == before == []
    assert "nosuch" in im("image", "show", "nosuch", status=1)
    assert "nosuch" in im("image", "save", "demo", "nosuch", "-y", status=2)
    im("destroy", "demo", "-y")


def test_accounts_are_an_administrators_and_only_ours_has_them(im: Im) -> None:
    said = im.run("user", "list")
    assert said.status == (2 if im.site.is_original else 5)
    assert said.err.count("error: ") == 1
    assert ("any name and password" if im.site.is_original else "administrator") in said.err


def test_an_administrator_keeps_the_accounts_of_ours_from_elsewhere(tmp_path: Path) -> None:
    auth = tmp_path / "root.dat"
    auth.touch(0o600)
    with im_serve(tmp_path) as server:
        auth.write_text(server.user("root", admin=True).auth.replace("\\n", "\n"))
        root = Im(Site(server.url, auth, is_original=False), tmp_path)
        assert root.run("user", "add", "bea").status == 2  # nobody is there to ask
        done = root.run("user", "add", "bea", "--password-stdin", stdin="long enough\n")
        assert (done.status, "bea may use" in done.err) == (0, True), done.err
        assert "long enough" not in done.out + done.err
        token = root("user", "token", "bea", "--days", "1").strip()
        assert token.startswith("imt_")
        assert root.json("user", "list")["accounts"] == [
            {"name": "bea", "admin": False, "tokens": 1},
            {"name": "root", "admin": True, "tokens": 0},
        ]
        assert "bea" in server.im("user", "list")
        alone = ("--server", server.url)
        assert root.run("image", "list", flags=alone, IM_TOKEN=token).status == 0  # the server says which clouds
        assert root.run("user", "list", flags=alone, IM_TOKEN=token).status == 5
        (tmp_path / "cluster.radl").write_text(RADL)
        root("deploy", "cluster.radl", "-i", "workers=0", "--name", "demo", "-y")
        limited = root("user", "token", "bea", "--role", "scaler", "--infra", "demo").strip()
        shown = root.run("show", "demo", "--json", flags=alone, IM_TOKEN=limited)
        assert shown.status == 0, shown.err
        assert "own account" in root("user", "remove", "root", status=1)
        root("user", "remove", "bea")
        assert "no account" in root("user", "remove", "bea", status=1)
        assert root.run("list", flags=alone, IM_TOKEN=token).status == 5


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
