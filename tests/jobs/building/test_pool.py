"""The drawn pictures that the playground's networks are trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from loraloom.jobs.building.judge import truths
from loraloom.jobs.building.pool import Pool
from loraloom.playground.judge import QUESTIONS
from loraloom.playground.scenes import is_held_out
from loraloom.playground.styles import render


def pool(folder: Path) -> Pool:
    return Pool(folder=folder, seed=5, count=6, styles=("plain", "cartoon"), pair_share=0.0)


def test_a_number_always_shows_the_same(tmp_path: Path) -> None:
    drawn = pool(tmp_path)
    list(drawn.draw())
    pictures = drawn.pixels()
    assert pictures.shape == (6, 128, 128, 3)
    for number in (0, 3):
        scene, style, _ = pool(tmp_path / "elsewhere").scene(number)
        assert style == ("plain", "cartoon")[number % 2]
        assert np.array_equal(pictures[number], render(scene, style))


def test_what_lies_there_is_not_drawn_again(tmp_path: Path) -> None:
    drawn = pool(tmp_path)
    list(drawn.draw())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    list(drawn.draw())
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_no_held_out_combination_is_ever_drawn(tmp_path: Path) -> None:
    drawn = replace(pool(tmp_path), count=400, pair_share=0.3)
    things = [
        (thing.kind, thing.colour, scene.background)
        for scene, _, _ in map(drawn.scene, range(drawn.count))
        for thing in scene.things
    ]
    assert len(things) > 450
    assert not any(is_held_out(*each) for each in things)


def test_truths_are_the_scenes(tmp_path: Path) -> None:
    answers = truths(pool(tmp_path))
    scene, style, _ = pool(tmp_path).scene(4)
    assert QUESTIONS["object"][answers["object"][4]] == scene.things[0].kind
    assert QUESTIONS["background"][answers["background"][4]] == scene.background
    assert QUESTIONS["style"][answers["style"][4]] == style
