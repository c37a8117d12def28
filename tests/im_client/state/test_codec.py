"""What is stored is what was given: laws over values, nodes and sources."""

import math
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from im_client.plan.model import Spec, SpecInterface, SpecVolume
from im_client.state import codec
from im_client.state.store import Endpoint, Source
from im_client.topology.values import Attribute, Concat, Join, OperationOutput, Scope, Token
from infracore.secrets import Secret
from tests.laws import some

text = st.text(max_size=8)
keys = text | st.sampled_from(["$secret", "$", "$$", "$$secret", "$attribute", "$nothing"])
index = st.integers(-5, 5)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | text
    | st.builds(Secret, text)
    | st.builds(Attribute, text, st.lists(text | index, max_size=3).map(tuple), st.sampled_from(Scope))
    | st.builds(OperationOutput, text, text, text, text, st.sampled_from(Scope))
)


def _branches(inner: st.SearchStrategy) -> st.SearchStrategy:
    several = st.lists(inner, max_size=3).map(tuple)
    return (
        several
        | st.dictionaries(keys, inner, max_size=3)
        | st.builds(Concat, several)
        | st.builds(Join, inner, text)
        | st.builds(Token, inner, text, index)
    )


values = st.recursive(leaves, _branches, max_leaves=12)
named = st.dictionaries(keys, values, max_size=3)


@settings(max_examples=some(40), deadline=None)
@given(named)
def test_values_come_back_equal_and_of_the_same_types(given_values: dict) -> None:
    back = codec.decode_values(codec.encode_values(given_values))
    assert back == given_values
    assert repr(back) == repr(given_values)  # 1, 1.0 and True are equal, their texts are not


def test_a_number_that_is_none_comes_back_so() -> None:
    back = codec.decode_values(codec.encode_values({"x": math.nan}))["x"]
    assert isinstance(back, float)
    assert math.isnan(back)


@settings(max_examples=some(40), deadline=None)
@given(text, st.lists(text, max_size=2).map(tuple), st.dictionaries(text, text), named, st.dictionaries(text, index))
def test_sources_come_back_equal(template: str, add_ons: tuple, files: dict, inputs: dict, counts: dict) -> None:
    source = Source(template, add_ons, files, inputs, counts)
    assert codec.decode_source(codec.encode_source(source)) == source


@pytest.mark.parametrize("authorities", ["", "-----BEGIN CERTIFICATE-----\n"])
def test_what_a_server_gave_comes_back_with_the_source(authorities: str) -> None:
    source = Source("/t.yaml", endpoint=Endpoint("https://im.example", Secret("imt_x"), authorities))
    back = codec.decode_source(codec.encode_source(source))
    assert back == source
    assert "imt_x" not in repr(back)


@settings(max_examples=some(40), deadline=None)
@given(st.none() | st.builds(Secret, text), st.dictionaries(text, st.dictionaries(text, named, max_size=2), max_size=2))
def test_the_sealed_part_of_a_node_comes_back_equal(key: Secret | None, outputs: dict) -> None:
    encoded = codec.encode_node_part(key, outputs)
    assert (encoded is None) == (key is None and not outputs)
    if encoded is not None:
        assert codec.decode_node_part(encoded) == (key, outputs)


numbers = st.none() | st.integers(0, 2**60)
maybe = st.none() | text
specs = st.builds(
    Spec,
    num_cpus=numbers,
    mem_bytes=numbers,
    image=maybe,
    interfaces=st.lists(st.builds(SpecInterface, text, dns_names=st.lists(text).map(tuple)), max_size=2).map(tuple),
    volumes=st.lists(st.builds(SpecVolume, text, st.integers(0, 2**60), maybe), max_size=2).map(tuple),
    ports=st.lists(text, max_size=2).map(tuple),
    tags=st.dictionaries(text, text, max_size=2),
)


@settings(max_examples=some(40), deadline=None)
@given(specs)
def test_specs_come_back_equal(spec: Spec) -> None:
    assert codec.decode_spec(codec.encode_plain(spec)) == spec


def test_read_only_mappings_are_stored_as_mappings() -> None:
    frozen = MappingProxyType({"a": "b"})
    assert codec.decode_spec(codec.encode_plain(Spec(tags=frozen))).tags == {"a": "b"}
    assert codec.decode_values(codec.encode_values(MappingProxyType({"x": frozen}))) == {"x": {"a": "b"}}


def test_a_kind_of_value_that_is_not_known_is_not_taken_for_a_mapping() -> None:
    with pytest.raises(ValueError, match="unknown kind of value"):
        codec.from_plain({"$later": 1})


def test_what_is_no_value_is_refused() -> None:
    with pytest.raises(TypeError, match="set is no value"):
        codec.to_plain({"x": {1, 2}})  # type: ignore[dict-item]
