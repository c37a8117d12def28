"""Which subnets a machine's cards are on, and why."""

import dataclasses

import pytest

from im_client.plan.model import Spec, SpecInterface
from im_client.providers.ec2.network import Subnet, choose_cards
from im_client.providers.ec2.settings import Ec2Settings
from infracore.errors import NotFound, Unsupported

A = Subnet("subnet-a", "vpc-1", "x-1a", "10.0.0.0/24", is_default=True)
B = Subnet("subnet-b", "vpc-1", "x-1b", "10.0.1.0/24", is_default=True)
C = Subnet("subnet-c", "vpc-1", "x-1b", "10.0.2.0/24", name="data")
D = Subnet("subnet-d", "vpc-2", "x-1a", "10.1.0.0/24", name="other")
OURS = Subnet("subnet-o", "vpc-3", "x-1a", "10.2.0.0/24", infrastructure="i")
ALL = (A, B, C, D, OURS)
PUBLIC = SpecInterface("public", public=True)
PRIVATE = SpecInterface("private")


def test_where_nothing_is_named_it_is_the_default_vpc_in_any_zone_and_the_plan_says_so() -> None:
    cards = choose_cards(ALL, Spec(), Ec2Settings(), None)
    assert [card.subnets for card in cards.cards] == [(A, B)]
    assert cards.zones == ("x-1a", "x-1b")
    assert (cards.is_public, cards.is_elastic) == (True, False)
    assert cards.layout.notes == ("network: the default VPC vpc-1, as none is named",)


def test_a_public_and_a_private_network_without_names_are_one_card() -> None:
    cards = choose_cards(ALL, Spec(interfaces=(PUBLIC, PRIVATE)), Ec2Settings(), None)
    assert len(cards.cards) == 1
    assert cards.is_public
    assert not choose_cards(ALL, Spec(interfaces=(PRIVATE,)), Ec2Settings(), None).is_public


@pytest.mark.parametrize("name", ["subnet-c", "vpc-1.subnet-c", "data", "dat*"])
def test_a_named_network_is_found_by_id_or_name(name: str) -> None:
    spec = Spec(interfaces=(dataclasses.replace(PRIVATE, provider_name=name),))
    assert choose_cards(ALL, spec, Ec2Settings(), None).cards[0].subnets == (C,)


def test_a_name_of_a_vpc_means_all_its_subnets() -> None:
    spec = Spec(interfaces=(dataclasses.replace(PRIVATE, provider_name="vpc-1"),))
    assert choose_cards(ALL, spec, Ec2Settings(), None).cards[0].subnets == (A, B, C)


def test_two_cards_share_a_zone_and_need_an_elastic_address_to_be_public() -> None:
    spec = Spec(interfaces=(PUBLIC, dataclasses.replace(PRIVATE, provider_name="data")))
    cards = choose_cards(ALL, spec, Ec2Settings(), None)
    assert len(cards.cards) == 2
    assert cards.zones == ("x-1b",)
    assert cards.is_elastic
    assert cards.layout.pool == "elastic IP"


def test_the_zone_of_a_template_and_that_of_a_disk_narrow_the_choice() -> None:
    assert choose_cards(ALL, Spec(availability_zone="x-1b"), Ec2Settings(), None).cards[0].subnets == (B,)
    assert choose_cards(ALL, Spec(), Ec2Settings(), None, ["x-1a"]).cards[0].subnets == (A,)
    with pytest.raises(NotFound, match="x-9z"):
        choose_cards(ALL, Spec(availability_zone="x-9z"), Ec2Settings(), None)


def test_settings_come_before_the_default_vpc() -> None:
    assert choose_cards(ALL, Spec(), Ec2Settings(vpc="vpc-2"), None).cards[0].subnets == (D,)
    assert choose_cards(ALL, Spec(), Ec2Settings(subnet="data"), None).cards[0].subnets == (C,)


def test_without_a_default_vpc_one_is_made_once_an_infrastructure() -> None:
    cards = choose_cards(
        (D, OURS), Spec(interfaces=(dataclasses.replace(PRIVATE, cidr="10.9.0.0/16"),)), Ec2Settings(), "j"
    )
    assert cards.cards[0].subnets == ()
    assert (cards.cidr, cards.layout.networks) == ("10.9.0.0/16", ("new:im-clues",))
    assert "a VPC is made" in cards.layout.notes[0]
    assert choose_cards((D, OURS), Spec(), Ec2Settings(), "i").cards[0].subnets == (OURS,)


def test_a_fixed_address_is_of_the_subnet() -> None:
    spec = Spec(interfaces=(dataclasses.replace(PRIVATE, provider_name="data", fixed_address="10.0.2.9"),))
    assert choose_cards(ALL, spec, Ec2Settings(), None).cards[0].address == "10.0.2.9"
    spec = Spec(interfaces=(dataclasses.replace(PRIVATE, provider_name="data", fixed_address="10.7.7.7"),))
    with pytest.raises(Unsupported, match=r"10\.7\.7\.7"):
        choose_cards(ALL, spec, Ec2Settings(), None)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(NotFound, match="there is no network 'lost'") as caught:
        choose_cards(ALL, Spec(interfaces=(dataclasses.replace(PRIVATE, provider_name="lost"),)), Ec2Settings(), None)
    assert "data" in caught.value.hint
    apart = tuple(dataclasses.replace(PRIVATE, provider_name=name) for name in ("data", "other"))
    with pytest.raises(Unsupported, match="several VPCs"):
        choose_cards(ALL, Spec(interfaces=apart), Ec2Settings(), None)
