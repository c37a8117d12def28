"""Which differences make an operation run again."""

from dataclasses import replace

from im_client.plan.digest import OperationDigests, configured_digest, operation_digest
from im_client.topology.facts import Facts, NodeFacts
from im_client.topology.model import Artifact, ArtifactKind
from im_client.topology.resolve import Resolver
from im_client.topology.values import Attribute, Concat, Scope
from infracore.secrets import Secret
from tests.im_client.plan.world import operation


def facts(*addresses: str | None) -> Facts:
    nodes = [NodeFacts(f"wn-{n}", "wn", n, private_address=a) for n, a in enumerate(addresses, 1)]
    return Facts({n.name: n for n in nodes}, {"work": "wn"})


ALL = Attribute("wn", ("private_address",))
OWN = Attribute("wn", ("private_address",), Scope.OWN)
TWO = facts("10.0.0.1", "10.0.0.2")


def test_inputs_implementation_and_requirements_count() -> None:
    one = operation("work", "wn", "start", a=1, b=("x", None), c={"k": Secret("s")})
    role = Artifact(ArtifactKind.ROLE, "a.role", version="1")
    others = [
        replace(one, inputs={**one.inputs, "a": 2}),
        replace(one, inputs={**one.inputs, "a": True}),
        replace(one, inputs={**one.inputs, "c": {"k": Secret("t")}}),
        replace(one, inputs={**one.inputs, "c": {"k": "s"}}),
        replace(one, inputs={"a": 1}),
        replace(one, implementation=replace(one.implementation, digest="v2")),
        replace(one, requires=(role,)),
        replace(one, requires=(replace(role, version="2"),)),
    ]
    assert len({operation_digest(o, TWO, "wn-1") for o in [one, *others]}) == len(others) + 1


def test_the_order_of_inputs_and_the_folder_of_a_known_text_do_not_count() -> None:
    one = operation("work", "wn", "start", a=1, b={"x": 1, "y": 2})
    moved = replace(one.implementation, location="/elsewhere/work.yml")
    same = replace(one, inputs={"b": {"y": 2, "x": 1}, "a": 1}, implementation=moved)
    assert operation_digest(same, TWO, "wn-1") == operation_digest(one, TWO, "wn-1")
    far = replace(one, implementation=replace(moved, digest="", location="https://a/work.yml"))
    assert operation_digest(far, TWO, "wn-1") != operation_digest(
        replace(far, implementation=replace(far.implementation, location="https://b/work.yml")), TWO, "wn-1"
    )


def test_a_machine_sees_its_own_values_and_all_see_the_same_of_the_group() -> None:
    own, shared = operation("work", "wn", "own", me=OWN), operation("work", "wn", "shared", all=Concat(("x", ALL)))
    assert operation_digest(own, TWO, "wn-1") != operation_digest(own, TWO, "wn-2")
    assert operation_digest(shared, TWO, "wn-1") == operation_digest(shared, TWO, "wn-2")


def test_one_call_for_many_gives_what_single_calls_give() -> None:
    many = OperationDigests(Resolver(TWO), TWO)
    both = operation("work", "wn", "both", me=OWN, all=ALL, n=1)
    for name in ("wn-1", "wn-2"):
        assert many.of(both, name).text == operation_digest(both, TWO, name)


def test_a_default_that_speaks_of_the_machine_itself_is_taken_of_each() -> None:
    defaults = {"work": {"where": OWN}}
    own = operation("work", "wn", "own", x=Attribute("work", ("where",)))
    facts_with = replace(TWO, defaults=defaults)
    many = OperationDigests(Resolver(facts_with), facts_with)
    assert many.of(own, "wn-1").text != many.of(own, "wn-2").text


def test_what_is_unknown_is_named_and_counts_until_it_is_known() -> None:
    one = operation("work", "wn", "start", all=ALL)
    unknown = facts("10.0.0.1", None)
    found = OperationDigests(Resolver(unknown), unknown).of(one, "wn-1")
    assert found.unknown == (ALL,)
    assert found.text != operation_digest(one, TWO, "wn-1")
    assert found.text == operation_digest(one, unknown, "wn-2")


def test_the_digest_of_a_machine_is_that_of_its_operations_in_any_order() -> None:
    assert configured_digest({"a": "1", "b": "2"}) == configured_digest({"b": "2", "a": "1"})
    assert len({configured_digest(d) for d in ({}, {"a": "1"}, {"a": "2"}, {"b": "1"})}) == 4
