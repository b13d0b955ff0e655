"""Scenes: what is drawn from the generator, and what is kept from training."""

from itertools import product

import numpy as np
import pytest

from loraloom.errors import UsageError
from loraloom.playground.scenes import (
    BACKGROUNDS,
    COLOURS,
    OBJECTS,
    POSITIONS,
    SIZES,
    is_held_out,
    position_word,
    sample_scene,
    size_word,
)

TRIPLES = tuple(product(OBJECTS, COLOURS, BACKGROUNDS))


def test_the_same_generator_draws_the_same_scenes():
    first, second = np.random.default_rng(3), np.random.default_rng(3)
    assert [sample_scene(first) for _ in range(20)] == [sample_scene(second) for _ in range(20)]


def test_about_one_triple_in_seven_is_held_out():
    share = sum(is_held_out(*triple) for triple in TRIPLES) / len(TRIPLES)
    assert 0.13 < share < 0.17


def test_every_pair_of_words_remains_in_most_of_its_triples():
    for first, second in ((0, 1), (0, 2), (1, 2)):
        kept: dict[tuple[str, str], list[bool]] = {}
        for triple in TRIPLES:
            kept.setdefault((triple[first], triple[second]), []).append(not is_held_out(*triple))
        assert min(sum(flags) / len(flags) for flags in kept.values()) > 0.75


@pytest.mark.parametrize("held_out", [True, False])
def test_scenes_hold_only_the_asked_side_of_the_split(held_out: bool):
    generator = np.random.default_rng(1)
    for _ in range(500):
        scene = sample_scene(generator, held_out=held_out, pair_share=0.4)
        for thing in scene.things:
            assert is_held_out(thing.kind, thing.colour, scene.background) is held_out


def test_all_words_are_drawn_and_only_allowed_ones_when_restricted():
    generator = np.random.default_rng(2)
    scenes = [sample_scene(generator) for _ in range(600)]
    things = [thing for scene in scenes for thing in scene.things]
    assert {thing.kind for thing in things} == set(OBJECTS)
    assert {thing.colour for thing in things} == set(COLOURS)
    assert {scene.background for scene in scenes} == set(BACKGROUNDS)
    assert {size_word(thing) for thing in things} == set(SIZES)
    assert {position_word(thing) for thing in things} == set(POSITIONS)
    few = [
        sample_scene(generator, objects=["cat"], colours=["red", "blue"], backgrounds=["snow"])
        for _ in range(50)
    ]
    assert {scene.background for scene in few} == {"snow"}
    assert {thing.colour for scene in few for thing in scene.things} == {"red", "blue"}


def test_pairs_stand_left_and_right_and_differ_in_kind_and_colour():
    generator = np.random.default_rng(4)
    for _ in range(200):
        left, right = sample_scene(generator, pair_share=1.0).things
        assert (position_word(left), position_word(right)) == ("left", "right")
        assert left.kind != right.kind
        assert left.colour != right.colour


def test_things_stay_within_the_frame():
    generator = np.random.default_rng(5)
    for _ in range(500):
        for thing in sample_scene(generator).things:
            assert thing.x - thing.size / 2 >= 0
            assert thing.x + thing.size / 2 <= 1
            assert thing.y - thing.size / 2 >= 0
            assert thing.y + thing.size / 2 <= 1


def test_a_split_without_a_triple_is_refused():
    generator = np.random.default_rng(6)
    kept = next(triple for triple in TRIPLES if not is_held_out(*triple))
    with pytest.raises(UsageError, match="held-out"):
        sample_scene(
            generator,
            objects=[kept[0]],
            colours=[kept[1]],
            backgrounds=[kept[2]],
            held_out=True,
        )
