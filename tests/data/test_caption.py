"""The words of one use of a picture: the order of the steps, and what each draws."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loraloom.data.caption import CaptionRules, compose, plain_prompt, with_trigger

_TAGS = "1girl, red hair, smile, hat, sky"


def _shuffled(tags, seed):
    """Return the tags as one shuffle from a fresh generator leaves them."""
    tags = list(tags)
    random.Random(seed).shuffle(tags)
    return tags


# What `process_caption` of kohya-ss/sd-scripts (library/train_util.py, commit 6edbe005) returns
# after random.seed(n) in epoch n + 1, for n from 0 to 3.
_KOHYA = (
    (
        "1girl, red hair, smile, hat, sky",
        {},
        (
            "1girl, red hair, smile, hat, sky",
            "1girl, red hair, smile, hat, sky",
            "1girl, red hair, smile, hat, sky",
            "1girl, red hair, smile, hat, sky",
        ),
    ),
    ("a,b ,  c", {}, ("a,b ,  c", "a,b ,  c", "a,b ,  c", "a,b ,  c")),
    (
        "1girl, red hair, smile, hat, sky",
        {"shuffle": True},
        (
            "smile, red hair, 1girl, sky, hat",
            "smile, hat, sky, 1girl, red hair",
            "smile, red hair, hat, sky, 1girl",
            "1girl, smile, hat, sky, red hair",
        ),
    ),
    (
        "1girl, red hair, smile, hat, sky",
        {"shuffle": True, "keep_tokens": 2},
        (
            "1girl, red hair, smile, sky, hat",
            "1girl, red hair, hat, sky, smile",
            "1girl, red hair, hat, sky, smile",
            "1girl, red hair, hat, sky, smile",
        ),
    ),
    (
        "1girl, red hair, smile, hat, sky",
        {"prefix": "best,", "suffix": ", end", "shuffle": True, "keep_tokens": 1},
        (
            "best, sky, smile, red hair, 1girl, end, hat",
            "best, smile, hat, end, 1girl, sky, red hair",
            "best, smile, hat, red hair, sky, end, 1girl",
            "best, 1girl, smile, hat, end, sky, red hair",
        ),
    ),
    (
        "1girl, red hair, smile, hat, sky",
        {"prefix": "a photo of", "suffix": "in oil"},
        (
            "a photo of 1girl, red hair, smile, hat, sky in oil",
            "a photo of 1girl, red hair, smile, hat, sky in oil",
            "a photo of 1girl, red hair, smile, hat, sky in oil",
            "a photo of 1girl, red hair, smile, hat, sky in oil",
        ),
    ),
    (
        "1girl, red hair, smile, hat, sky",
        {"tag_dropout_rate": 0.4},
        (
            "1girl, red hair, smile, sky",
            "red hair, smile, sky",
            "1girl, red hair, sky",
            "red hair, hat, sky",
        ),
    ),
    (
        "1girl, red hair, smile, hat, sky",
        {"tag_dropout_rate": 0.4, "keep_tokens": 1, "shuffle": True},
        (
            "1girl, red hair, smile, sky",
            "1girl, red hair, hat, smile",
            "1girl, sky, red hair",
            "1girl, red hair, hat",
        ),
    ),
    (
        "1girl, red hair, smile, hat, sky",
        {"dropout_rate": 0.5, "shuffle": True},
        ("sky, smile, red hair, 1girl, hat", "", "smile, red hair, hat, sky, 1girl", ""),
    ),
    (
        "1girl, red hair, smile, hat, sky",
        {"dropout_rate": 0.5, "tag_dropout_rate": 0.4, "shuffle": True, "keep_tokens": 1},
        ("1girl, hat, smile, red hair, sky", "", "1girl, sky, red hair", ""),
    ),
    (
        "a {red|blue|green} {cat|dog}, {{kept}}",
        {"wildcards": True},
        ("a blue dog, {kept}", "a red cat, {kept}", "a red cat, {kept}", "a red cat, {kept}"),
    ),
    (
        "one, two\nthree, four\n{five|six}, seven",
        {"wildcards": True, "shuffle": True},
        ("three, four", "two, one", "two, one", "two, one"),
    ),
    ("first line\nsecond line", {}, ("first line", "first line", "first line", "first line")),
    (
        "a, b ||| c, d, e ||| f",
        {"shuffle": True, "keep_tokens_separator": "|||", "keep_tokens": 3},
        ("a, b, c, e, d, f", "a, b, d, e, c, f", "a, b, d, e, c, f", "a, b, d, e, c, f"),
    ),
    (
        "a, b ||| c, d, e",
        {"shuffle": True, "keep_tokens_separator": "|||", "tag_dropout_rate": 0.3},
        ("a, b, e, d", "a, b, e, c", "a, b, e, c", "a, b, d, e, c"),
    ),
    (
        "a, b, c, d, e",
        {"shuffle": True, "keep_tokens_separator": "|||", "keep_tokens": 3},
        ("a, b, c, d, e", "a, b, c, e, d", "a, b, c, e, d", "a, b, c, e, d"),
    ),
    (
        "a;b, c;d",
        {"shuffle": True, "separator": ";"},
        ("a, d, b, c", "b, c, d, a", "b, c, d, a", "b, c, d, a"),
    ),
    (
        "a, b;;;c, d, e;;;f",
        {"shuffle": True, "secondary_separator": ";;;"},
        ("d, a, b,c, e,f", "e,f, a, d, b,c", "b,c, d, e,f, a", "e,f, a, d, b,c"),
    ),
    ("x;;;y", {"secondary_separator": ";;;"}, ("x,y", "x,y", "x,y", "x,y")),
    (
        "{a|b}, {c|d}, {e|f}, g",
        {
            "wildcards": True,
            "shuffle": True,
            "tag_dropout_rate": 0.3,
            "dropout_rate": 0.2,
            "prefix": "{x|y},",
            "keep_tokens": 1,
        },
        ("y, a, f", "", "x, c", "x, g, d, b"),
    ),
    (
        "1girl, red hair, smile, hat, sky",
        {"dropout_every_n_epochs": 2, "shuffle": True, "dropout_rate": 0.2},
        ("sky, smile, red hair, 1girl, hat", "", "smile, red hair, hat, sky, 1girl", ""),
    ),
)


@pytest.mark.parametrize(("caption", "rules", "expected"), _KOHYA)
def test_the_words_are_those_of_kohyas_trainer(caption, rules, expected):
    first, *others = caption.split("\n")
    composed = tuple(
        compose(
            first,
            CaptionRules(**rules),
            random.Random(seed),
            further_lines=others,
            epoch=seed + 1,
        )
        for seed in range(4)
    )
    assert composed == expected


# What the same `process_caption` returns, with max_train_steps = 100, after random.seed(n) at the
# steps n = 0, 3, 5, 9 and 10.
_KOHYA_WARMUP = (
    (
        "1girl, red hair, smile, hat, sky",
        {"warmup_steps": 10},
        (
            "1girl",
            "1girl, red hair",
            "1girl, red hair, smile",
            "1girl, red hair, smile, hat",
            "1girl, red hair, smile, hat, sky",
        ),
    ),
    (
        "1girl, red hair, smile, hat, sky",
        {"warmup_steps": 10, "warmup_least": 2, "keep_tokens": 1},
        (
            "1girl, red hair, smile",
            "1girl, red hair, smile",
            "1girl, red hair, smile, hat",
            "1girl, red hair, smile, hat",
            "1girl, red hair, smile, hat, sky",
        ),
    ),
    (
        "1girl, red hair, smile, hat, sky",
        {"warmup_steps": 8, "shuffle": True, "tag_dropout_rate": 0.3},
        (
            "1girl",
            "red hair",
            "1girl, red hair, smile",
            "1girl, red hair, smile, hat",
            "hat, red hair, 1girl, sky",
        ),
    ),
    (
        "a, b ||| c, d, e ||| f",
        {"warmup_steps": 6, "keep_tokens_separator": "|||", "warmup_least": 0},
        ("a, b, f", "a, b, c, f", "a, b, c, d, f", "a, b, c, d, e, f", "a, b, c, d, e, f"),
    ),
    ("a,b", {"warmup_steps": 5, "warmup_least": 4}, ("a, b",) * 5),
    ("a,b ,  c", {"warmup_steps": 99}, ("a",) * 5),
)


@pytest.mark.parametrize(("caption", "rules", "expected"), _KOHYA_WARMUP)
def test_tags_join_in_as_in_kohyas_trainer(caption, rules, expected):
    composed = tuple(
        compose(caption, CaptionRules(**rules), random.Random(step), step=step)
        for step in (0, 3, 5, 9, 10)
    )
    assert composed == expected


def test_without_options_the_caption_is_untouched():
    generator = random.Random(0)
    before = generator.getstate()
    assert compose("a,b ,  c", CaptionRules(), generator) == "a,b ,  c"
    assert generator.getstate() == before


def test_every_line_gets_prefix_and_suffix():
    rules = CaptionRules(prefix="a drawing of", suffix="on paper", wildcards=True)
    drawn = {
        compose("a cat", rules, random.Random(seed), further_lines=("a dog",)) for seed in range(9)
    }
    assert drawn == {"a drawing of a cat on paper", "a drawing of a dog on paper"}


def test_the_plain_prompt_is_what_chance_leaves_in_place():
    rules = CaptionRules(
        prefix="p,", trigger="sks", shuffle=True, keep_tokens_separator="|||", dropout_rate=0.5
    )
    assert plain_prompt("a ||| b,c", rules) == "sks, p, a, b, c"
    assert plain_prompt("a,b", CaptionRules(secondary_separator=";", suffix="x;y")) == "a,b x,y"
    # Tags that training takes apart are joined here as there.
    for taken_apart in ({"shuffle": True}, {"tag_dropout_rate": 0.1}, {"warmup_steps": 5}):
        assert plain_prompt("a,b ,  c", CaptionRules(**taken_apart)) == "a, b, c"
    words = CaptionRules(wildcards=True)
    assert plain_prompt("{a|long|of} {{x}}", words) == "long {x}"
    assert plain_prompt("{a|long|of} {{x}}", CaptionRules()) == "{a|long|of} {{x}}"


@settings(max_examples=50)
@given(
    st.builds(
        CaptionRules,
        wildcards=st.booleans(),
        shuffle=st.booleans(),
        tag_dropout_rate=st.sampled_from((0.0, 0.4)),
        warmup_steps=st.sampled_from((0, 4)),
        keep_tokens=st.integers(0, 2),
        secondary_separator=st.sampled_from((None, ";")),
        prefix=st.sampled_from(("", "p,")),
        trigger=st.sampled_from(("", "sks")),
    ),
    st.integers(0, 99),
)
def test_no_draw_has_a_tag_that_the_plain_prompt_lacks(rules, seed):
    def tags(text):
        return {tag.strip() for tag in text.split(",")}

    caption = "a;b, {c|cc}, d"
    plain = tags(plain_prompt(caption, rules))
    drawn = compose(caption, rules, random.Random(seed), step=seed % 6)
    assert tags(drawn) - {"c"} - {""} <= plain


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
    assert compose(caption, CaptionRules(trigger=trigger), random.Random(0)) == expected


def test_the_trigger_stays_first_when_tags_move():
    for seed in range(5):
        tags = _shuffled(_TAGS.split(", "), seed)
        rules = CaptionRules(trigger="sks", shuffle=True)
        composed = compose(_TAGS, rules, random.Random(seed))
        assert composed == ", ".join(["sks", *tags])


def test_dropout_comes_first_and_drops_the_trigger_too():
    def draw(seed):
        rules = CaptionRules(trigger="sks", shuffle=True, dropout_rate=0.3)
        return compose(_TAGS, rules, random.Random(seed))

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
    for rate, expected in ((1.0, ""), (0.0, "a")):
        rules = CaptionRules(dropout_rate=rate)
        assert {compose("a", rules, generator) for _ in range(50)} == {expected}


@given(
    st.lists(st.text("abc ", min_size=1, max_size=4).filter(str.strip), max_size=8),
    st.integers(0, 9),
)
def test_shuffling_loses_and_invents_no_tag(tags, keep):
    rules = CaptionRules(shuffle=True, keep_tokens=keep)
    composed = compose(",".join(tags), rules, random.Random(len(tags)))
    result = composed.split(", ") if composed else []
    expected = [tag.strip() for tag in tags]
    assert sorted(result) == sorted(expected)
    assert result[:keep] == expected[:keep]
