"""The command line at a real control plane: made, scaled, destroyed, refused, and found where the state is lost.

Nova's machines take no ssh, so nothing is configured; templates are used as they are.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from infracore.exitcodes import ExitCode
from tests.im_client.tosca_cases.places import CONTENT, catalogue
from tests.openstack.site import WRONG, Site, site
from tests.rigs.openstack import OpenStack

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(600)]

OURS = CONTENT / "tosca_templates"
SLURM = str(OURS / "slurm_cluster.yaml")


@pytest.fixture
def rig(openstack: OpenStack, tmp_path: Path) -> Iterator[Site]:
    """An `im` of its own; the cloud has afterwards what it had before."""
    with site(openstack, tmp_path) as made:
        before = made.things()
        assert not before["server"] | before["volume"]
        yield made
        for left in made.im.json("list")["infrastructures"]:  # of a test that failed
            made.im("destroy", left["name"], "-y")
        assert made.things() == before


def ours() -> tuple[str, list[str]]:
    return str(OURS / "simple_node_disk.yaml"), ["-i", "disk=3 GiB"]


def theirs() -> tuple[str, list[str]]:
    template = catalogue() / "templates" / "simple-node-disk.yml"
    return str(template), ["-i", "storage_size=10 GiB", "-i", "instance_type=m1.medium"]


@pytest.mark.parametrize(("find", "provider"), [(theirs, "rig"), (ours, "named")], ids=["catalogue's", "ours"])
def test_a_machine_with_a_volume_and_a_floating_ip_comes_and_goes(rig: Site, find: object, provider: str) -> None:
    template, inputs = find()  # type: ignore[operator]
    words = [template, "--name", "disk", "--provider", provider, "--no-configure", *inputs]
    before = rig.things()
    rig.im("plan", *words)
    assert rig.things() == before
    rig.im("deploy", *words, "-y")
    made = {"server": 1, "volume": 1, "floating IP": 1, "security group": 2, "key pair": 1}
    assert rig.counts(before) == {**made, "port": 2}  # its own, and that of the floating IP
    (address,) = [one.floating_ip_address for one in rig.admin.network.ips()]
    assert address in rig.im("outputs", "disk").stdout
    (machine,) = rig.im.machines("disk").values()
    (server,) = rig.admin.compute.servers(all_projects=True)
    assert (machine["provider_id"], server.status) == (server.id, "ACTIVE")
    (volume,) = rig.admin.block_storage.volumes(all_projects=True)
    assert [one["server_id"] for one in volume.attachments] == [server.id]
    rig.im("deploy", *words, "-y")
    assert "nothing to do" in said(rig, "plan", *words, "--detailed-exitcode")
    assert rig.counts(before) == {**made, "port": 2}
    rig.im("destroy", "disk", "-y")
    assert rig.things() == before


def test_a_slurm_cluster_is_made_scaled_out_and_in_and_destroyed(rig: Site) -> None:
    words = [SLURM, "--name", "slurm", "--provider", "rig", "--no-configure"]
    before = rig.things()
    rig.im("deploy", *words, "-y")
    shared = {"security group": 2, "key pair": 1}
    assert rig.counts(before) == {"server": 3, "port": 3, **shared}
    rig.im("scale", "slurm", "worker=4", "-y")
    assert rig.counts(before) == {"server": 5, "port": 5, **shared}
    in_words = said(rig, "scale", "slurm", "worker=1", "-y")
    assert "hooks of worker-4 do not run: it is not configured" in in_words
    assert rig.counts(before) == {"server": 2, "port": 2, **shared}
    assert {one.name for one in rig.admin.compute.servers(all_projects=True)} == set(rig.im.machines("slurm"))
    assert "nothing to do" in said(rig, "plan", *words, "--detailed-exitcode")
    rig.im("destroy", "slurm", "-y")
    assert rig.things() == before
    assert rig.im.json("list")["infrastructures"] == []


@pytest.mark.parametrize(
    ("provider", "inputs", "status", "words"),
    [
        ("wrong", (), ExitCode.CREDENTIALS, ("requires authentication", "the credentials are wrong or have expired")),
        ("down", (), ExitCode.FAILED, ("at http://127.0.0.1:9: Unable to", "Connection refused", "try again later")),
        ("rig", ("image=debain-12",), ExitCode.INVALID, ("front cannot be made", "no image 'debain-12'", "rocky-9")),
        ("rig", ("front_cpus=6000",), ExitCode.INVALID, ("front cannot be made", "no size fits", "x1.overquota")),
    ],
    ids=["password", "region", "image", "flavor"],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    rig: Site, provider: str, inputs: Sequence[str], status: ExitCode, words: Sequence[str]
) -> None:
    before = rig.things()
    more = [word for one in inputs for word in ("-i", one)]
    text = said(rig, "deploy", SLURM, "--provider", provider, "--no-configure", *more, "-y", status=status)
    assert [word for word in words if word not in text] == []
    assert WRONG not in text
    assert "Traceback" not in text
    assert rig.things() == before
    assert rig.im.json("list")["infrastructures"] == []


def test_an_exhausted_quota_is_foreseen_and_told_and_what_was_made_is_destroyed(rig: Site) -> None:
    before = rig.things()
    words = [SLURM, "--name", "slurm", "--provider", "small", "--no-configure", "-i", "worker_count=3"]
    # one after the other: of those that come at once, Nova may give room to fewer than there is
    text = said(rig, "-o", "parallel=1", "deploy", *words, "-y", status=ExitCode.PARTLY_DONE)
    assert "small has room for 2 machines, and this makes 4" in text
    assert "Quota exceeded for instances" in text
    assert "ask for more quota" in text
    running = [one for one in rig.im.machines("slurm").values() if one["phase"] == "running"]
    assert len(running) == 2
    rig.im("destroy", "slurm", "-y")
    assert rig.things() == before


def test_a_floating_ip_beyond_the_quota_is_told_and_nothing_is_left(rig: Site) -> None:
    before = rig.things()
    (network,) = rig.admin.network.networks(name="small-net")
    (outside,) = rig.admin.network.networks(name="public")
    gateway = {"network_id": outside.id}
    router = rig.admin.network.create_router(project_id=network.project_id, external_gateway_info=gateway)
    rig.admin.network.add_interface_to_router(router, subnet_id=network.subnet_ids[0])
    try:
        template, inputs = ours()
        with_router = rig.things()
        rig.im("deploy", template, "--name", "one", "--provider", "small", "--no-configure", *inputs, "-y")
        two = [template, "--name", "two", "--provider", "small", "--no-configure", *inputs, "-y"]
        text = said(rig, "deploy", *two, status=ExitCode.FAILED)
        assert "Quota exceeded for resources: ['floatingip']" in text
        rig.im("destroy", "two", "-y")
        assert rig.counts(with_router)["floating IP"] == 1
        rig.im("destroy", "one", "-y")
        assert rig.things() == with_router
    finally:
        rig.admin.network.remove_interface_from_router(router, subnet_id=network.subnet_ids[0])
        rig.admin.network.delete_router(router)
    assert rig.things() == before


def test_machines_of_a_lost_state_are_found_and_removed(rig: Site) -> None:
    before = rig.things()
    template, inputs = ours()
    rig.im("deploy", template, "--name", "lost", "--provider", "rig", "--no-configure", *inputs, "-y")
    assert "nothing is left" in said(rig, "orphans", "--at", "rig")
    rig.lose_the_state()
    orphans = rig.im.json("orphans", "--at", "rig")["orphans"]
    kinds = [one["kind"] for one in orphans]
    assert (kinds[0], set(kinds)) == ("machine", {"machine", "floating IP", "security group", "key pair"})
    (infra,) = {one["infrastructure"] for one in orphans}
    said(rig, "orphans", "--at", "rig", "--remove", "-y", status=ExitCode.INVALID)
    assert rig.counts(before)["server"] == 1
    said(rig, "orphans", "--at", "rig", "--remove", "--infrastructure", infra, "-y")
    assert rig.things() == before
    assert rig.im.json("orphans", "--at", "rig")["orphans"] == []


def said(rig: Site, *words: str, status: ExitCode = ExitCode.DONE) -> str:
    done = rig.im(*words, status=status)
    return " ".join(f"{done.stdout}\n{done.stderr}".split())
