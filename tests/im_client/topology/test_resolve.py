"""Values that machines give: scopes, indices, paths, outputs, defaults, texts, secrets."""

import pytest

from im_client.topology.facts import Facts, NodeFacts
from im_client.topology.resolve import Resolver, Unresolved, references, resolvable, resolve
from im_client.topology.values import Attribute, Concat, Join, OperationOutput, Scope, Token, Value
from infracore.secrets import Secret


def node(name: str, address: str | None, **more: object) -> NodeFacts:
    group, index = name.rsplit("-", 1)
    return NodeFacts(name, group, int(index), private_address=address, **more)  # type: ignore[arg-type]


KEY = Secret("the key")
FRONT = node(
    "front-1",
    "10.0.0.1",
    public_address="192.0.2.1",
    provider_id="id-1",
    attributes={"ssh_port": 22, "endpoint": {"credential": {"user": "root", "token": KEY}}},
    outputs={"lrms": {"create": {"token": "old"}, "configure": {"token": "t0", "urls": ("a", "b")}}},
)
# out of order on purpose: wn-10 comes after wn-2
WORKERS = (
    node("wn-10", "10.0.1.10", outputs={"work": {"start": {"slots": 10}}}),
    node(
        "wn-1", "10.0.1.1", outputs={"work": {"start": {"slots": 1}}}, attributes={"endpoint.credential": {"user": "u"}}
    ),
    node("wn-2", "10.0.1.2", outputs={"work": {"start": {"slots": 2}}}),
)
FACTS = Facts(
    nodes={n.name: n for n in (FRONT, *WORKERS)},
    components={"lrms": "front", "work": "wn"},
    defaults={
        "lrms": {"token": "unused", "colour": "blue"},
        "wn": {"zone": Attribute("wn", ("tosca_name",), Scope.OWN)},
    },
)
OWN = Scope.OWN


def a(name: str, *path: str | int, scope: Scope = Scope.GROUP) -> Attribute:
    return Attribute(name, path, scope)


@pytest.mark.parametrize(
    ("value", "own", "expected"),
    [
        (a("wn", "private_address"), None, ("10.0.1.1", "10.0.1.2", "10.0.1.10")),
        (a("wn", "private_address", 0), None, "10.0.1.1"),
        (a("wn", "private_address", 2), None, "10.0.1.10"),
        (a("wn", "private_address", -1), None, "10.0.1.10"),
        (a("front", "private_address"), None, ("10.0.0.1",)),
        (a("wn", "private_address", scope=OWN), "wn-2", "10.0.1.2"),
        (a("wn", "private_address", 0, scope=OWN), "wn-2", "10.0.1.2"),
        (a("work", "private_address", 0, scope=OWN), "wn-10", "10.0.1.10"),
        (a("front", "public_address", 0), "wn-2", "192.0.2.1"),
        (a("wn", "public_address", 0), None, "10.0.1.1"),
        (a("front", "private_address", 0, scope=OWN), "wn-1", "10.0.0.1"),
        (a("wn", "private_address", scope=OWN), None, ("10.0.1.1", "10.0.1.2", "10.0.1.10")),
        (a("front", "endpoint", "credential", 0), None, {"user": "root", "token": KEY}),
        (a("front", "endpoint", "credential", "user", 0), None, "root"),
        (a("front", "endpoint", "credential", "token", scope=OWN), "front-1", KEY),
        (a("wn", "endpoint", "credential", "user", scope=OWN), "wn-1", "u"),
        (a("front", "tosca_id", 0), None, "id-1"),
        (a("lrms", "tosca_name", scope=OWN), "front-1", "lrms"),
        (a("front", "ssh_port", 0), None, 22),
        (a("lrms", "token"), "wn-1", "t0"),
        (a("lrms", "urls", 1), "wn-1", "b"),
        (a("lrms", "colour"), "wn-1", "blue"),
        (a("work", "slots"), None, (1, 2, 10)),
        (a("work", "slots", 1), None, 2),
        (a("work", "slots", scope=OWN), "wn-10", 10),
        (a("wn", "zone", scope=OWN), "wn-1", "wn"),
        (OperationOutput("lrms", "Standard", "create", "token"), None, "old"),
        (OperationOutput("work", "Standard", "start", "slots"), None, (1, 2, 10)),
        (OperationOutput("work", "Standard", "start", "slots", OWN), "wn-2", 2),
        (
            Concat(("https://", a("front", "public_address", 0), ":", 6443, "/", True)),
            None,
            "https://192.0.2.1:6443/true",
        ),
        (Concat(("http://", a("front", "private_address"))), None, "http://10.0.0.1"),
        (Concat(("x", Secret("y"))), None, Secret("xy")),
        (Join(a("wn", "private_address"), ","), None, "10.0.1.1,10.0.1.2,10.0.1.10"),
        (Join(("a", Concat(("b", "c"))), "-"), None, "a-bc"),
        (Token(a("front", "public_address", 0), ".", 2), None, "2"),
        (Token(Secret("user:pass"), ":", 1), None, Secret("pass")),
        ({"k": (a("front", "tosca_id", 0), None, 1.5)}, None, {"k": ("id-1", None, 1.5)}),
    ],
)
def test_a_value_becomes_what_the_machines_say(value: Value, own: str | None, expected: Value) -> None:
    assert resolve(value, FACTS, own) == expected
    assert resolvable(value, FACTS, own)


@pytest.mark.parametrize(
    "value",
    [
        a("wn", "private_address", 3),
        a("nobody", "private_address"),
        a("front", "no_such_thing", 0),
        a("front", "private_address", 0, "deeper"),
        a("lrms", "urls", 2),
        a("wn", "private_address", 1, scope=OWN),
        OperationOutput("lrms", "Standard", "start", "token"),
        OperationOutput("nothing", "Standard", "start", "token"),
        Token("a.b", ".", 2),
        a("wn"),
    ],
)
def test_what_nobody_has_said_is_unresolved(value: Value) -> None:
    with pytest.raises(Unresolved):
        resolve(value, FACTS, "wn-1")
    assert not resolvable(value, FACTS, "wn-1")


def test_one_machine_without_an_address_leaves_the_list_unknown_but_not_the_others_by_index() -> None:
    facts = Facts(nodes={**FACTS.nodes, "wn-2": node("wn-2", None)})
    assert not resolvable(a("wn", "private_address"), facts)
    assert not resolvable(a("wn", "private_address", 1), facts)
    assert resolve(a("wn", "private_address", 2), facts) == "10.0.1.10"


def test_every_unknown_reference_is_named() -> None:
    missing = (a("front", "x", 0), OperationOutput("lrms", "Standard", "start", "y"))
    with pytest.raises(Unresolved, match=r"x\.0 of front, output y of lrms\.start") as raised:
        resolve({"one": Concat(("a", missing[0])), "two": (missing[1],)}, FACTS)
    assert raised.value.references == missing


def test_outputs_of_an_operation_that_runs_again_are_unknown_and_earlier_ones_count() -> None:
    stale: set[tuple[str, str, str]] = set()
    resolver = Resolver(FACTS, stale)
    assert resolver.resolve(a("lrms", "token")) == "t0"
    stale.add(("front-1", "lrms", "configure"))
    assert resolver.resolve(a("lrms", "token")) == "old"
    stale.add(("front-1", "lrms", "create"))
    assert resolver.resolve(a("lrms", "token")) == "unused"  # the template's own default
    with pytest.raises(Unresolved):
        resolver.resolve(a("lrms", "urls"))


def test_references_are_found_wherever_they_hide() -> None:
    one, two, three = a("a", "x"), OperationOutput("b", "i", "o", "y"), a("c", "z")
    value: Value = {"k": (Concat((one, "t")), Join((two,), ","), Token(three, ".", 0))}
    assert tuple(references(value)) == (one, two, three)
