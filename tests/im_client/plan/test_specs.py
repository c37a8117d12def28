"""From a group to what its machine shall be, and into words."""

import pytest

from im_client.plan.diff import spec_changes
from im_client.plan.model import Limits, Spec
from im_client.plan.specs import asked_fields, describe_field, describe_spec, spec_of
from im_client.topology.model import (
    Group,
    Hardware,
    Image,
    Network,
    NetworkInterface,
    Placement,
    PortRule,
    Protocol,
    Topology,
    Volume,
)

GROUP = Group(
    "wn",
    1,
    1,
    None,
    hardware=Hardware(num_cpus=2, mem_bytes=3 * 2**29, preemptible=True),
    image=Image(url="debian", user="admin"),
    interfaces=(NetworkInterface("pub", dns_names=("wn#N#.x",)), NetworkInterface("lost", fixed_address="10.0.0.7")),
    ports=(
        PortRule(2000, 2100, Protocol.UDP, "10.0.0.0/8"),
        PortRule(22, 22),
        PortRule(80, 80, target=8080),
        PortRule(0, 0, Protocol.ICMP),
    ),
    volumes=(Volume("data", 10**9, "/data"), Volume("none", 0), Volume("old", 0, volume_id="vol-1")),
    tags={"b": "2", "a": "1"},
    placement=Placement("ost", "z1"),
)
TOPOLOGY = Topology("t", groups={"wn": GROUP}, networks={"pub": Network("pub", public=True, provider_name="ext")})


def test_a_spec_has_all_that_the_group_says() -> None:
    spec = spec_of(GROUP, TOPOLOGY, 3)
    assert (spec.num_cpus, spec.mem_bytes, spec.preemptible, spec.image, spec.user) == (
        2,
        3 * 2**29,
        True,
        "debian",
        "admin",
    )
    assert spec.ports == ("icmp", "tcp/22", "tcp/80>8080", "udp/2000-2100@10.0.0.0/8")
    assert [(c.network, c.public, c.provider_name, c.fixed_address, c.dns_names) for c in spec.interfaces] == [
        ("pub", True, "ext", None, ("wn3.x",)),
        ("lost", False, None, "10.0.0.7", ()),
    ]
    assert [(d.name, d.volume_id) for d in spec.volumes] == [("data", None), ("old", "vol-1")]
    assert (spec.cloud_id, spec.availability_zone, spec.disk_bytes) == ("ost", "z1", None)


def test_only_what_the_template_cares_about_is_asked() -> None:
    assert asked_fields(spec_of(Group("g", 1, 1, 1), TOPOLOGY, 1)) == ()
    assert set(asked_fields(spec_of(GROUP, TOPOLOGY, 1))) == {
        *("num_cpus", "mem_bytes", "preemptible", "image", "user", "interfaces", "ports", "volumes", "tags"),
        *("cloud_id", "availability_zone"),
    }


def test_a_spec_reads_in_one_line() -> None:
    assert describe_spec(spec_of(Group("g", 1, 1, 1), TOPOLOGY, 1)) == "any machine"
    assert describe_spec(spec_of(GROUP, TOPOLOGY, 1)) == (
        "CPUs 2, memory 1.5 GiB, preemptible yes, image debian, user admin, "
        "interfaces pub (ext public), lost (10.0.0.7), "
        "ports icmp, tcp/22, tcp/80>8080, udp/2000-2100@10.0.0.0/8, "
        "volumes data 953.7 MiB at /data, old vol-1, tags a=1, b=2, cloud id ost, availability zone z1"
    )


def test_what_is_absent_reads_so() -> None:
    assert [describe_field("ports", ()), describe_field("image", None), describe_field("tags", {})] == [
        "none",
        "any",
        "none",
    ]


@pytest.mark.parametrize(
    ("before", "after", "replaced"),
    [
        ({"model": "4B", "power": "poe"}, {"model": "4B"}, False),
        ({"model": "4B"}, {}, False),
        ({"model": "4B"}, {"model": "5"}, True),
        ({}, {"serial": "abcdef01"}, True),
    ],
)
def test_a_board_is_replaced_by_what_is_asked_for_anew_and_not_by_what_is_given_up(
    before: dict[str, str], after: dict[str, str], replaced: bool
) -> None:
    changes = spec_changes(Spec(board=before), Spec(board=after), Limits("raspberry_pi"))
    assert [(change.property, change.forces_replace) for change in changes] == [("board", True)] * replaced
