"""Marks in tags and words."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from im_client.providers.libcloud.marks import Mark, named_for, owner_of, read_tags, read_text, tags, text, unique

WORDS = st.text(max_size=20)
MARKS = st.builds(Mark, WORDS, WORDS, WORDS, WORDS)


@given(MARKS, st.sampled_from([120, 255]))
def test_a_mark_is_read_out_of_its_tags_in_any_order_among_others(mark: Mark, most: int) -> None:
    shown = tags(mark, most)
    if len(shown) <= 9:
        assert read_tags(["other", *reversed(shown), "team:physics"]) == mark


def test_the_longest_mark_that_there_is_fits_into_the_shortest_tags() -> None:
    mark = Mark("0" * 36, "f" * 20, "n" * 63, "u" * 32)
    shown = tags(mark, 50)
    assert read_tags(shown) == mark
    assert all(3 <= len(tag) <= 50 for tag in shown)


@given(MARKS)
def test_tags_have_only_signs_that_all_clouds_take(mark: Mark) -> None:
    assert set("".join(tags(mark, 255))) <= set(string.ascii_lowercase + string.digits + "-_:")


@given(MARKS)
def test_a_mark_is_read_out_of_its_words(mark: Mark) -> None:
    assert read_text(f"a machine {text(mark)}") == mark


@pytest.mark.parametrize("found", [[], ["im-clues-1:a:b"], ["im-clues:x"], ["im-clues-1:"], ["im-clues-x:a:b:c:d"]])
def test_what_is_not_ours_has_no_mark(found: list[str]) -> None:
    assert read_tags(found) == Mark()


@given(st.text(min_size=1, max_size=40))
def test_the_owner_of_a_shared_thing_is_in_its_name(infrastructure: str) -> None:
    assert owner_of(named_for(infrastructure, "key0a1b")) == infrastructure


@pytest.mark.parametrize("name", ["web-1", "9lives", "a" * 63, "a--b", "Web.1", "-"])
def test_a_unique_name_is_a_label_that_every_cloud_takes(name: str) -> None:
    made = unique(name, "0a1b2c3d4e5f60718293")
    assert made.endswith("-0a1b2c3d4e")
    assert made[0].isalpha()
    assert len(made) <= 60
    assert "--" not in made
    assert set(made) <= set(string.ascii_lowercase + string.digits + "-")
