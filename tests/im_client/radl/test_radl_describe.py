"""A topology or machine as a document: it reads as what it was made from."""

import json

from hypothesis import given
from hypothesis import strategies as st

from im_client.radl.describe import Machine, machine_document, topology_document
from im_client.radl.jsonwriter import write as write_json
from im_client.radl.text import write as write_text
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
from infracore.secrets import Secret
from tests.im_client.radl.documents import topology

NETWORKS = {
    "lan": Network("lan", cidr="10.0.0.0/24", create=True),
    "wan": Network("wan", public=True, provider_name="ext"),
}
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\r,="), min_size=1, max_size=8).filter(
    lambda t: t.strip() == t and "@input." not in t
)
SOME = st.none() | WORDS
SIZES = st.none() | st.integers(1, 2**50)
GROUPS = st.builds(
    Group,
    name=st.just("n"),
    count=st.integers(1, 99),
    minimum=st.just(0),
    maximum=st.none(),
    hardware=st.builds(
        Hardware,
        num_cpus=st.none() | st.integers(1, 999),
        mem_bytes=SIZES,
        disk_bytes=SIZES,
        instance_type=SOME,
        num_gpus=st.integers(0, 9),
        gpu_vendor=SOME,
        gpu_model=SOME,
        disk_type=SOME,
        preemptible=st.booleans(),
    ),
    image=st.builds(
        Image,
        url=WORDS,
        type=SOME,
        distribution=SOME,
        version=SOME,
        architecture=SOME,
        user=SOME,
        password=st.none() | WORDS.map(Secret),
        private_key=st.none() | WORDS.map(Secret),
    ),
    interfaces=st.just((NetworkInterface("lan", "10.0.0.5", ("n-#N#", "other")), NetworkInterface("wan"))),
    ports=st.lists(
        st.builds(
            PortRule,
            st.integers(1, 999),
            st.integers(1000, 65535),
            st.sampled_from([Protocol.TCP, Protocol.UDP]),
            st.sampled_from(["0.0.0.0/0", "10.0.0.0/8"]),
        ),
        unique=True,
        max_size=3,
    ).map(tuple),
    volumes=st.lists(st.builds(Volume, st.just("disk1"), st.integers(1, 2**50), SOME, SOME, WORDS), max_size=1).map(
        tuple
    ),
    tags=st.dictionaries(WORDS, WORDS, max_size=2),
    instance_name=SOME,
    placement=st.builds(Placement, st.none() | st.just("cloud-1"), SOME),
)


def _plain(group: Group) -> Group:
    from dataclasses import replace

    return replace(group, where=None)


@given(GROUPS)
def test_a_topology_that_is_written_lowers_to_itself(group: Group) -> None:
    made = Topology("x", groups={"n": group}, networks=NETWORKS)
    for text in (write_text(topology_document(made)), json.dumps(write_json(topology_document(made)))):
        again = topology(text)
        assert _plain(again.groups["n"]) == group
        assert again.networks == NETWORKS


GROUP = Group(
    "wn",
    2,
    0,
    None,
    hardware=Hardware(num_cpus=1),
    interfaces=(NetworkInterface("lan", dns_names=("vnode-#N#",)), NetworkInterface("wan")),
    ports=(PortRule(22, 22),),
)
TOPOLOGY = Topology("x", groups={"wn": GROUP}, networks={**NETWORKS, "other": Network("other")})


def test_a_machine_is_told_with_what_is_known_of_it() -> None:
    machine = Machine(
        "wn",
        3,
        "configured",
        name="wn-3",
        instance_id="i-7",
        provider_type="OpenStack",
        provider_host="cloud.example",
        private_address="10.0.0.9",
        public_address="192.0.2.1",
        num_cpus=2,
        mem_bytes=2**31,
        user="admin",
        private_key=Secret("KEY"),
        launched_at_s=1_700_000_000,
    )
    found = [item for item in write_json(machine_document(TOPOLOGY, machine)) if isinstance(item, dict)]
    networks, system = ([item for item in found if item["class"] == kind] for kind in ("network", "system"))
    assert [network["id"] for network in networks] == ["lan", "wan"]
    assert networks[1]["outports"] == "22/tcp"
    assert system == [
        {
            "class": "system",
            "id": "wn",
            "cpu.count": 2,
            "net_interface.0.connection": "lan",
            "net_interface.0.dns_name": "vnode-3",
            "net_interface.1.connection": "wan",
            "memory.size": 2**31,
            "launch_time": 1_700_000_000,
            "net_interface.0.ip": "10.0.0.9",
            "net_interface.1.ip": "192.0.2.1",
            "instance_name": "wn-3",
            "disk.0.os.credentials.username": "admin",
            "disk.0.os.credentials.private_key": "KEY",
            "provider.type": "OpenStack",
            "provider.host": "cloud.example",
            "instance_id": "i-7",
            "state": "configured",
        }
    ]


def test_what_a_server_tells_of_a_machine_is_read_without_a_warning() -> None:
    from tests.im_client.radl.documents import look

    text = write_text(machine_document(TOPOLOGY, Machine("wn", 0, "running", instance_id="i-7", provider_type="x")))
    assert look(text).problems == ()


def test_names_that_radl_cannot_write_are_made_so_that_it_can() -> None:
    group = Group("my nodes", 1, 0, None, interfaces=(NetworkInterface("2nd"),))
    made = Topology("x", groups={"my nodes": group}, networks={"2nd": Network("2nd")})
    assert list(topology(write_text(topology_document(made))).groups) == ["my_nodes"]
