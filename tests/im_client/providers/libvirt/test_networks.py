"""Networks read, made and chosen; addresses that are free."""

import ipaddress

import pytest

from im_client.plan.model import Spec, SpecInterface
from im_client.providers.libvirt.networks import (
    Networks,
    free_addresses,
    mac_of,
    made_name,
    made_xml,
    read_network,
)
from im_client.providers.libvirt.settings import LibvirtSettings
from im_client.providers.libvirt.virsh import Virsh
from infracore.errors import Unsupported

XML = """<network><name>rig</name><forward mode='nat'/><bridge name='virbr1'/>
<ip family='ipv6' address='fd00::1' prefix='64'/>
<ip address='192.168.130.1' netmask='255.255.255.0'><dhcp><range start='192.168.130.10' end='192.168.130.13'/>
<host mac='52:54:00:00:00:01' name='imc-tok-0' ip='192.168.130.10'/><host mac='52:54:00:00:00:02' ip='192.168.130.50'/>
</dhcp></ip></network>"""


def test_a_network_is_read_with_the_subnet_that_has_dhcp() -> None:
    network = read_network(XML)
    assert (network.name, network.index, network.infrastructure) == ("rig", 1, "")
    assert network.home == ipaddress.IPv4Network("192.168.130.0/24")
    assert network.hosts[0] == ("52:54:00:00:00:01", "imc-tok-0", "192.168.130.10")


def test_addresses_that_are_reserved_or_leased_are_not_free() -> None:
    assert free_addresses(read_network(XML), {"192.168.130.12"}) == ["192.168.130.11", "192.168.130.13"]


def test_of_a_huge_range_only_the_first_free_ones_are_looked_for() -> None:
    xml = XML.replace("192.168.130.13", "192.255.255.254")
    found = free_addresses(read_network(xml), set())
    assert (len(found), found[0]) == (256, "192.168.130.11")


def test_a_network_without_dhcp_or_addresses_is_read_too() -> None:
    assert read_network("<network><name>br</name><forward mode='bridge'/></network>").home is None
    assert read_network("<network><name>x</name><ip address='10.1.2.1' prefix='24'/></network>").home is None


@pytest.mark.parametrize(("mode", "forwards"), [("nat", True), ("isolated", False)])
def test_a_made_network_carries_our_mark(mode: str, forwards: bool) -> None:
    xml = made_xml("imc-1", ipaddress.IPv4Network("10.78.3.0/24"), "inf & <co>", "private", mode)
    network = read_network(xml)
    assert network.infrastructure == "inf & <co>"
    assert network.home == ipaddress.IPv4Network("10.78.3.0/24")
    assert free_addresses(network, ())[0] == "10.78.3.2"
    assert ("<forward" in xml) is forwards


def test_cards_have_addresses_of_their_own_and_keep_them() -> None:
    assert mac_of("a", 0) == mac_of("a", 0)
    assert len({mac_of(token, card) for token in ("a", "b") for card in (0, 1)}) == 4


def _networks(**settings: object) -> Networks:
    return Networks(Virsh("test:///default"), LibvirtSettings(**settings))  # type: ignore[arg-type]


def test_a_card_is_on_the_network_that_the_template_names_else_on_the_default_one() -> None:
    spec = Spec(interfaces=(SpecInterface("pub", public=True, provider_name="lan"), SpecInterface("priv")))
    cards = _networks().cards(spec, "t", "inf")
    assert [(card.kind, card.source, card.is_public) for card in cards] == [
        ("network", "lan", True),
        ("network", "default", False),
    ]
    assert [card.source for card in _networks(network="mine").cards(Spec(), "t", "inf")] == ["mine"]


def test_private_networks_are_made_where_that_is_set_one_for_each_infrastructure() -> None:
    spec = Spec(interfaces=(SpecInterface("pub", public=True), SpecInterface("priv")))
    networks = _networks(make_networks="isolated")
    first, second = (networks.cards(spec, "t", infrastructure)[1].source for infrastructure in ("a", "b"))
    assert first == made_name("a", "priv")
    assert first != second
    assert networks.cards(spec, "t", "a")[0].source == "default"


def test_a_bridge_that_the_settings_do_not_name_is_refused() -> None:
    spec = Spec(interfaces=(SpecInterface("lan", provider_name="bridge:br0"),))
    with pytest.raises(Unsupported, match="br0"):
        _networks().cards(spec, "t", "inf")
    for settings in ({"bridges": ("br0",)}, {"network": "bridge:br0"}):
        card = _networks(**settings).cards(spec, "t", "inf")[0]
        assert (card.kind, card.source) == ("bridge", "br0")
