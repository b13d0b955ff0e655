"""Styles: deterministic, true to the scene, smooth where they should be, and apart."""

from itertools import combinations, product

import numpy as np
import pytest

from loraloom.playground.palettes import NATURAL
from loraloom.playground.scenes import BACKGROUNDS, COLOURS, OBJECTS, Scene, Thing, sample_scene
from loraloom.playground.styles import STYLES, render

SMOOTH = ("plain", "anime", "watercolor", "cartoon", "pencil")


def _scene(kind: str, colour: str, background: str, seed: int = 0) -> Scene:
    return Scene(background, (Thing(kind, colour, 0.5, 0.54, 0.66),), seed)


def _hues(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chroma direction (unit vectors in the plane orthogonal to grey) and its length."""
    values = pixels.reshape(-1, 3).astype(np.float64) / 255
    axes = np.array([[1, -0.5, -0.5], [0, 3**0.5 / 2, -(3**0.5) / 2]])
    chroma = values @ axes.T
    length = np.linalg.norm(chroma, axis=1)
    return chroma / np.maximum(length, 1e-6)[:, None], length


@pytest.mark.parametrize("style", STYLES)
def test_the_same_scene_gives_the_same_bytes(style: str):
    scene = sample_scene(np.random.default_rng(8))
    first, second = render(scene, style), render(scene, style)
    assert first.shape == (128, 128, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)


@pytest.mark.parametrize("style", STYLES)
def test_the_seed_and_the_size_are_heeded(style: str):
    assert not np.array_equal(
        render(_scene("cat", "red", "meadow", 1), style),
        render(_scene("cat", "red", "meadow", 2), style),
    )
    assert render(_scene("cat", "red", "meadow"), style, size=64).shape == (64, 64, 3)


@pytest.mark.parametrize(("style", "kind"), list(product(STYLES, OBJECTS)))
def test_the_named_colour_dominates_what_changes_with_it(style: str, kind: str):
    # The pixels that differ between two colours of one scene are those of its body.
    images = {colour: render(_scene(kind, colour, "room"), style) for colour in COLOURS}
    spread = np.stack([images[colour] for colour in COLOURS]).astype(np.int64).std(axis=0)
    body = spread.sum(axis=-1) > 60
    assert body.mean() > 0.06
    for colour in ("red", "yellow", "green", "blue", "purple"):
        directions, lengths = _hues(images[colour][body])
        wanted, _ = _hues(np.array([NATURAL.colours[colour]]) * 255)
        near = (directions @ wanted[0] > np.cos(np.radians(35))) & (lengths > 0.12)
        assert near.mean() > 0.6, (style, kind, colour)
    _, lengths = _hues(images["white"][body])
    assert (lengths < 0.3).mean() > 0.7, (style, kind)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("colour", COLOURS)
def test_a_thing_stands_out_from_its_background(style: str, background: str, colour: str):
    bare = render(Scene(background, (), 4), style).astype(np.int64)
    dressed = render(_scene("ball", colour, background, 4), style).astype(np.int64)
    change = np.abs(bare - dressed).sum(axis=-1)
    assert (change > 30).mean() > 0.25


@pytest.mark.parametrize("style", SMOOTH)
def test_edges_take_values_between_the_two_sides(style: str):
    drawn = render(_scene("ball", "red", "snow"), style, supersample=4).astype(np.int64)
    hard = render(_scene("ball", "red", "snow"), style, supersample=1).astype(np.int64)
    # Finer sampling changes little: both estimate the same coverage of each pixel.
    assert np.abs(drawn - hard).mean() < 3
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 300


def test_pixel_art_has_square_blocks_and_few_colours():
    image = render(_scene("fish", "blue", "beach"), "pixel")
    blocks = image.reshape(32, 4, 32, 4, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()
    assert len(np.unique(image.reshape(-1, 3), axis=0)) < 64


def test_halftone_dots_repeat_every_eight_pixels():
    image = render(Scene("room", (), 0), "cartoon").astype(np.int64)
    wall = image[8:72, 48:80]
    assert np.array_equal(wall[:-8], wall[8:])
    assert np.array_equal(wall[:, :-8], wall[:, 8:])
    assert not np.array_equal(wall[:, :-4], wall[:, 4:])


def test_all_styles_differ_clearly_on_every_background():
    for background in BACKGROUNDS:
        scene = _scene("house", "orange", background)
        images = {style: render(scene, style).astype(np.int64) for style in STYLES}
        for first, second in combinations(STYLES, 2):
            gap = np.abs(images[first] - images[second]).mean()
            assert gap > 5, (background, first, second, gap)


def test_triggers_are_unique_and_only_the_plain_style_has_none():
    triggers = [record.trigger for record in STYLES.values()]
    assert len(set(triggers)) == len(triggers)
    assert [name for name, record in STYLES.items() if record.trigger is None] == ["plain"]
