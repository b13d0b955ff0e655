"""Captions: true, varied, and often in the simplest form."""

import re

import numpy as np

from loraloom.playground.captions import (
    PLACES,
    caption,
    place_named,
    plain_caption,
    plain_prompt,
    things_named,
)
from loraloom.playground.scenes import (
    COLOURS,
    OBJECTS,
    SIZES,
    position_word,
    sample_scene,
    size_word,
)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text)


def test_plain_prompts_read_as_english():
    assert plain_prompt("ball", "red", "meadow") == "a red ball in a meadow"
    assert plain_prompt("fish", "orange", "night") == "an orange fish at night"
    assert plain_prompt("boat", "white", "beach") == "a white boat on the beach"


def test_the_same_generator_says_the_same():
    scene = sample_scene(np.random.default_rng(0))
    first, second = np.random.default_rng(1), np.random.default_rng(1)
    assert [caption(scene, first) for _ in range(30)] == [caption(scene, second) for _ in range(30)]


def test_captions_name_every_thing_with_its_colour_and_nothing_else():
    generator = np.random.default_rng(2)
    for _ in range(1000):
        scene = sample_scene(generator, pair_share=0.4)
        text = caption(scene, generator)
        words = _words(text)
        assert all(f"{thing.colour} {thing.kind}" in text for thing in scene.things)
        kinds = sorted(thing.kind for thing in scene.things)
        assert sorted(word for word in words if word in OBJECTS) == kinds
        hues = sorted(thing.colour for thing in scene.things)
        assert sorted(word for word in words if word in COLOURS) == hues
        named = {place for place, phrase in PLACES.items() if phrase in text}
        assert named <= {scene.background}


def test_size_and_side_are_true_where_named():
    generator = np.random.default_rng(3)
    named_sizes = named_sides = 0
    for _ in range(1000):
        scene = sample_scene(generator, pair_share=0.0)
        text = caption(scene, generator)
        (thing,) = scene.things
        sizes = [word for word in _words(text) if word in SIZES]
        sides = re.findall(r"(?:on|in) the (left|center|right)", text)
        assert sizes in ([], [size_word(thing)])
        assert sides in ([], [position_word(thing)])
        named_sizes += len(sizes)
        named_sides += len(sides)
    assert named_sizes > 50
    assert named_sides > 50


def test_pairs_are_told_apart_by_side():
    generator = np.random.default_rng(4)
    for _ in range(300):
        scene = sample_scene(generator, pair_share=1.0)
        text = caption(scene, generator)
        left, right = (f"{thing.colour} {thing.kind}" for thing in scene.things)
        if "to the right of" in text:
            assert text.index(right) < text.index(left)
        else:
            assert text.index(left) < text.index(right)


def test_at_least_four_in_ten_captions_are_plain_and_no_article_is_wrong():
    generator = np.random.default_rng(5)
    plain = 0
    texts: list[str] = []
    for _ in range(2000):
        scene = sample_scene(generator, pair_share=0.0)
        (thing,) = scene.things
        texts.append(caption(scene, generator))
        plain += texts[-1] == plain_prompt(thing.kind, thing.colour, scene.background)
    assert plain / len(texts) >= 0.4
    assert not any(re.search(r"\ba [aeiou]|\ban [^aeiou]", text) for text in texts)
    assert len({re.sub("|".join((*OBJECTS, *COLOURS)), "", text) for text in texts}) > 40


def test_what_a_caption_says_is_read_back():
    generator = np.random.default_rng(4)
    pairs = 0
    for _ in range(500):
        scene = sample_scene(generator, pair_share=0.4)
        truth = frozenset((thing.colour, thing.kind) for thing in scene.things)
        pairs += len(truth) > 1
        simplest = plain_caption(scene)
        assert things_named(simplest) == things_named(caption(scene, generator)) == truth
        assert place_named(simplest) == scene.background
    assert pairs > 100


def test_reading_back_takes_whole_words_and_one_place():
    assert things_named("a red car, a big cat and the redstar") == {("red", "car")}
    assert things_named("carred ball, a blue catfish") == frozenset()
    assert place_named("a red car") is None
    assert place_named("a red car at night on the beach") is None
