"""Which networks are chosen, and that what was guessed is said."""

import pytest

from im_client.plan.model import Spec, SpecInterface
from im_client.providers.openstack.networks import Choice, Net, View, choose_networks
from im_client.providers.openstack.settings import OpenStackSettings
from infracore.errors import NotFound, Unsupported

OUT = Net("out", "public", is_external=True, is_own=False, cidrs=("203.0.113.0/24",))
OUT2 = Net("out2", "campus", is_external=True, is_own=False)
INNER = Net("inner", "private", cidrs=("10.0.0.0/24",), outside="out")
SHARED = Net("shared", "site-net", is_own=False, cidrs=("10.1.0.0/24",))
LONELY = Net("lonely", "lonely", cidrs=("10.2.0.0/24",))
DIRECT = Net("direct", "internet", is_own=False, cidrs=("8.8.8.0/24",))
MADE = Net("made", "im-clues_i-1_in", cidrs=("10.9.0.0/24",), outside="out", infrastructure="i-1", made_for="in")
BARE = Net("bare", "im-clues_i-1_in", infrastructure="i-1", made_for="in")
PUBLIC = SpecInterface("pub", public=True)


def chosen(nets: tuple[Net, ...], *cards: SpecInterface, infrastructure: str = "i-1", **settings: object) -> Choice:
    own = OpenStackSettings(**settings)  # type: ignore[arg-type]
    return choose_networks(View(nets), Spec(interfaces=cards), infrastructure, own, "there")


@pytest.mark.parametrize(
    ("nets", "cards", "settings", "networks", "pool"),
    [
        ((OUT, INNER), (), {}, ["inner"], ""),
        ((OUT, LONELY, INNER, SHARED), (SpecInterface("in"),), {}, ["inner"], ""),
        ((OUT, LONELY, SHARED), (SpecInterface("in"),), {}, ["lonely"], ""),
        ((OUT, SHARED), (SpecInterface("in"),), {}, ["shared"], ""),
        ((OUT, INNER, LONELY), (SpecInterface("in"),), {"network": "lon*"}, ["lonely"], ""),
        ((OUT, INNER, LONELY), (SpecInterface("in", provider_name="lonely"),), {}, ["lonely"], ""),
        ((OUT, INNER), (SpecInterface("in"), PUBLIC), {}, ["inner"], "out"),
        ((OUT, INNER), (PUBLIC,), {}, ["inner"], "out"),
        ((OUT2, OUT, INNER), (PUBLIC,), {}, ["inner"], "out"),  # behind the router, not the first by name
        ((OUT2, OUT, INNER), (PUBLIC,), {"pool": "campus"}, ["inner"], "out2"),
        ((OUT2, OUT, INNER), (SpecInterface("p", public=True, provider_name="campus"),), {}, ["inner"], "out2"),
        ((INNER, DIRECT), (PUBLIC,), {}, ["direct"], ""),
        ((OUT, DIRECT), (SpecInterface("p", public=True, provider_name="internet"),), {}, ["direct"], ""),
        ((OUT, INNER), (SpecInterface("in", cidr="10.5.0.0/24"),), {}, ["new:in"], ""),
        ((OUT, INNER, MADE), (SpecInterface("in", cidr="10.9.0.0/24"),), {}, ["made"], ""),
        ((OUT, INNER, BARE), (SpecInterface("in", cidr="10.9.0.0/24"),), {}, ["new:in"], ""),  # broken off half-way
        ((OUT,), (SpecInterface("a"), SpecInterface("b")), {}, ["new:a", "new:b"], ""),
        ((OUT, MADE), (SpecInterface("x"),), {}, ["new:x"], ""),  # never one that was made for something else
        ((OUT, INNER, LONELY), (SpecInterface("a"), SpecInterface("b")), {}, ["inner", "lonely"], ""),
    ],
)
def test_networks_are_chosen(
    nets: tuple[Net, ...], cards: tuple[SpecInterface, ...], settings: dict, networks: list[str], pool: str
) -> None:
    choice = chosen(nets, *cards, **settings)
    assert [card.shown for card in choice.cards] == networks
    assert (choice.pool.id if choice.pool else "") == pool


def test_a_network_of_another_infrastructure_is_nobodys_guess() -> None:
    other = Net("other", "im-clues_i-2_in", cidrs=("10.9.0.0/24",), outside="out", infrastructure="i-2", made_for="in")
    assert [card.shown for card in chosen((OUT, other), SpecInterface("in")).cards] == ["new:in"]


def test_networks_that_are_made_do_not_overlap() -> None:
    choice = chosen((), SpecInterface("a"), SpecInterface("b"))
    assert [card.new_cidr for card in choice.cards] == ["10.77.0.0/24", "10.77.1.0/24"]


def test_what_is_guessed_is_said_and_what_is_named_is_not() -> None:
    (private, public) = chosen((OUT2, OUT, INNER, LONELY), SpecInterface("in"), PUBLIC).notes
    assert private == "in: network private, of the project, joined to the outside (others: lonely)"
    assert public == "pub: floating IP of public, behind the router (others: campus)"
    assert chosen((OUT, INNER), SpecInterface("in", provider_name="private")).notes == []


def test_a_network_without_a_firewall_is_said() -> None:
    bare = Net("bare", "bare", cidrs=("10.0.0.0/24",), is_guarded=False)
    assert "no firewall" in chosen((bare,), SpecInterface("in", provider_name="bare")).notes[0]


@pytest.mark.parametrize(
    ("nets", "cards", "settings", "error", "words"),
    [
        ((INNER,), (SpecInterface("in", provider_name="privat"),), {}, NotFound, "no network 'privat'"),
        ((INNER,), (SpecInterface("in"),), {"network": "x"}, NotFound, "no network 'x'"),
        ((OUT,), (SpecInterface("in"),), {"make_network": False}, NotFound, "no private network"),
        ((INNER,), (PUBLIC,), {}, NotFound, "no network at there gives public addresses"),
        ((OUT, LONELY), (PUBLIC,), {}, Unsupported, "lonely at there has no router"),
        ((OUT, INNER), (PUBLIC, SpecInterface("p2", public=True)), {}, Unsupported, "one floating IP, not 2"),
        ((INNER,), (SpecInterface("in", fixed_address="10.4.0.4"),), {}, Unsupported, "no subnet of private"),
    ],
)
def test_what_cannot_be_had_is_refused(
    nets: tuple[Net, ...], cards: tuple[SpecInterface, ...], settings: dict, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        chosen(nets, *cards, **settings)
