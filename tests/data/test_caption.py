"""The words of one use of a picture: the order of the steps, and what each draws."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraloom.data.caption import compose, with_trigger

_TAGS = "1girl, red hair, smile, hat, sky"


def _shuffled(tags, seed):
    """Return the tags as one shuffle from a fresh generator leaves them."""
    tags = list(tags)
    random.Random(seed).shuffle(tags)
    return tags


def test_without_options_the_caption_is_untouched():
    generator = random.Random(0)
    before = generator.getstate()
    assert compose("a,b ,  c", generator=generator) == "a,b ,  c"
    assert generator.getstate() == before


@pytest.mark.parametrize(
    ("trigger", "caption", "expected"),
    [
        ("sks", "a dog", "sks, a dog"),
        ("sks dog", "a sks dog runs", "a sks dog runs"),
        ("sks dog", "a SKS  Dog runs", "a SKS  Dog runs"),
        ("sks dog", "a sks big dog", "sks dog, a sks big dog"),
        ("cat", "a category of concatenation", "cat, a category of concatenation"),
        ("cat", "a bobcat", "cat, a bobcat"),
        ("cat", "hat,cat", "hat,cat"),
        ("c++", "learn c++", "learn c++"),
        ("a.b", "axb", "a.b, axb"),
        ("고양이", "고양이 한 마리", "고양이 한 마리"),
        ("고양", "고양이 한 마리", "고양, 고양이 한 마리"),
        ("  sks   dog ", "a house", "sks dog, a house"),
        ("sks", "", "sks"),
        ("", "a dog", "a dog"),
        (" ", "a dog", "a dog"),
    ],
)
def test_the_trigger_is_put_before_a_caption_that_lacks_its_words(trigger, caption, expected):
    assert with_trigger(caption, trigger) == expected
    assert compose(caption, trigger=trigger, generator=random.Random(0)) == expected


def test_shuffling_moves_all_tags_but_the_kept_ones():
    tags = _TAGS.split(", ")
    for seed in range(5):
        every = compose(_TAGS, shuffle=True, generator=random.Random(seed))
        assert every == ", ".join(_shuffled(tags, seed))
        kept = compose(_TAGS, shuffle=True, keep_tokens=2, generator=random.Random(seed))
        assert kept == ", ".join([*tags[:2], *_shuffled(tags[2:], seed)])
    assert len({compose(_TAGS, shuffle=True, generator=random.Random(s)) for s in range(20)}) > 10


def test_a_mark_in_the_caption_says_what_is_kept():
    caption = "a, b ||| c, d, e ||| f"
    options = {"keep_tokens": 3, "keep_tokens_separator": "|||"}
    shuffled = compose(caption, shuffle=True, **options, generator=random.Random(3))
    assert shuffled == ", ".join(["a", "b", *_shuffled("cde", 3), "f"])
    assert compose(caption, **options, generator=random.Random(3)) == "a, b, c, d, e, f"
    unmarked = compose("a, b, c, d, e", shuffle=True, **options, generator=random.Random(3))
    assert unmarked == ", ".join(["a", "b", "c", *_shuffled("de", 3)])


def test_other_separators_split_and_commas_join():
    composed = compose("a;b, c;;d", shuffle=True, separator=";", generator=random.Random(1))
    assert composed == ", ".join(_shuffled(["a", "b, c", "d"], 1))


def test_the_trigger_stays_first_when_tags_move():
    for seed in range(5):
        tags = _shuffled(_TAGS.split(", "), seed)
        composed = compose(_TAGS, trigger="sks", shuffle=True, generator=random.Random(seed))
        assert composed == ", ".join(["sks", *tags])


def test_dropout_comes_first_and_drops_the_trigger_too():
    def draw(seed):
        return compose(
            _TAGS, trigger="sks", shuffle=True, dropout_rate=0.3, generator=random.Random(seed)
        )

    for seed in range(20):
        expected = random.Random(seed)
        if expected.random() < 0.3:
            assert draw(seed) == ""
        else:
            tags = _TAGS.split(", ")
            expected.shuffle(tags)
            assert draw(seed) == ", ".join(["sks", *tags])
    assert {draw(seed) == "" for seed in range(20)} == {True, False}


def test_a_rate_of_one_drops_all_and_of_zero_none():
    generator = random.Random(0)
    assert {compose("a", dropout_rate=1.0, generator=generator) for _ in range(50)} == {""}
    assert {compose("a", dropout_rate=0.0, generator=generator) for _ in range(50)} == {"a"}


@given(
    st.lists(st.text("abc ", min_size=1, max_size=4).filter(str.strip), max_size=8),
    st.integers(0, 9),
)
def test_shuffling_loses_and_invents_no_tag(tags, keep):
    composed = compose(
        ",".join(tags), shuffle=True, keep_tokens=keep, generator=random.Random(len(tags))
    )
    result = composed.split(", ") if composed else []
    expected = [tag.strip() for tag in tags]
    assert sorted(result) == sorted(expected)
    assert result[:keep] == expected[:keep]
