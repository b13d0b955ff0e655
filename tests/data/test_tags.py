"""Tags of captions, and the parts and duplicates of a set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraloom.data.partition import held_out
from loraloom.data.tags import TagEdit, frequency, tags_of


@pytest.mark.parametrize(
    ("edit", "caption", "expected"),
    [
        (TagEdit(prepend=("sks",)), "a cat, red", "sks, a cat, red"),
        (TagEdit(prepend=("sks",)), "a cat, SKS", "a cat, SKS"),
        (TagEdit(append=("best", "new")), "best,a cat", "best, a cat, new"),
        (TagEdit(remove=("Blurry",)), "a cat, blurry, blurry sky", "a cat, blurry sky"),
        (TagEdit(replace=(("gray", "grey"),)), "Gray, a cat", "grey, a cat"),
        (TagEdit(replace=(("gray", "grey"),)), "grey, gray, a cat", "grey, a cat"),
        (TagEdit(remove=("a",), prepend=("a",)), "b, a", "a, b"),
        (TagEdit(), " odd ,spacing,, kept", " odd ,spacing,, kept"),
        (TagEdit(prepend=("sks",)), "", "sks"),
        (TagEdit(remove=("a cat",)), "a cat", ""),
    ],
)
def test_tags_are_edited_in_the_order_told(edit, caption, expected):
    assert edit.edited(caption) == expected


TAGS = st.text(st.characters(categories=["Ll", "Lo", "Nd"]), min_size=1, max_size=5)


@given(tags=st.lists(TAGS, unique_by=str.casefold, min_size=1), new=TAGS)
def test_an_edit_done_twice_is_an_edit_done_once(tags, new):
    edit = TagEdit(prepend=(new,), remove=(tags[-1],))
    once = edit.edited(", ".join(tags))
    assert edit.edited(once) == once or tags[-1].casefold() == new.casefold()
    assert new.casefold() in [tag.casefold() for tag in tags_of(once)]


def test_tags_are_counted_once_for_each_caption():
    captions = ["a cat, red, red", "A Cat, blue", "", "red"]
    assert frequency(captions) == (("a cat", 2), ("red", 2), ("blue", 1))


GROUPS = st.lists(st.integers(1, 4), min_size=1, max_size=30).map(
    lambda sizes: [[f"{number}-{k}" for k in range(size)] for number, size in enumerate(sizes)]
)


@given(groups=GROUPS, share=st.floats(0.01, 0.99), seed=st.integers(0, 9))
def test_groups_are_never_torn_apart(groups, share, seed):
    apart = held_out(groups, share=share, seed=seed)
    assert all(apart.issuperset(group) or apart.isdisjoint(group) for group in groups)
    assert apart == held_out(groups[::-1], share=share, seed=seed)
    total = sum(map(len, groups))
    assert len(apart) <= max(round(share * total), min(map(len, groups)) if len(groups) > 1 else 0)
    if len(groups) > 1:
        assert 0 < len(apart) < total or share * total >= total - 0.5


def test_other_seeds_hold_other_pictures_out_and_new_pictures_move_few():
    groups = [[str(number)] for number in range(100)]
    first, second = (held_out(groups, share=0.2, seed=seed) for seed in (0, 1))
    assert (len(first), len(second)) == (20, 20)
    assert first != second
    more = [*groups, *([f"new {number}"] for number in range(5))]
    assert len(held_out(more, share=0.2, seed=0) - first) <= 6
