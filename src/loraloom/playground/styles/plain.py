"""Soft light from the upper left, smooth gradients, no outlines: the look of the base model."""

import numpy as np

from loraloom.playground.backdrops import Layer, backdrop
from loraloom.playground.figures import (
    FLAT_LIGHT,
    Figure,
    figure,
    ground_shadow,
    light,
    paint_figure,
)
from loraloom.playground.palettes import NATURAL, Palette, lit, paint_of, shaded
from loraloom.playground.raster import Colour, Plane, axis, blank, coverage, lay, ramp
from loraloom.playground.scenes import Scene


def gradient(layer: Layer, top: Colour, bottom: Colour, size: int) -> Plane:
    """A vertical run of colour over the layer: [3, size, 1]."""
    share = np.clip((axis(size) - layer.top) / (layer.bottom - layer.top), 0, 1)[None, :, None]
    first = np.array(top, np.float32)[:, None, None]
    return first + (np.array(bottom, np.float32)[:, None, None] - first) * share


def paint_backdrop(image: Plane, scene: Scene, palette: Palette) -> None:
    """Lay the background's layers with gradients."""
    size = image.shape[-1]
    for layer in backdrop(scene.background, scene.seed, size):
        paint = gradient(layer, *palette.backgrounds[scene.background][layer.role], size)
        lay(image, paint, coverage(layer.distance, max(1.0 / size, layer.soft)))


def tone(paint: Colour, palette: Palette, glow: Plane) -> list[Plane]:
    """Planes of a paint under the given light: from its shadow over itself to its highlight."""
    dark, bright = shaded(palette, paint, 0.72), lit(paint, 0.55)
    low = np.clip((glow + np.float32(0.45)) * np.float32(1 / (FLAT_LIGHT + 0.45)), 0, 1)
    high = np.clip((glow - np.float32(FLAT_LIGHT)) * np.float32(1 / (1.15 - FLAT_LIGHT)), 0, 1.2)
    high *= high
    return [
        np.float32(d) + np.float32(p - d) * low + np.float32(b - p) * high
        for d, p, b in zip(dark, paint, bright, strict=True)
    ]


def _paint(window: Plane, placed: Figure) -> None:
    for piece in placed.pieces:
        paint = paint_of(NATURAL, piece.part.role, placed.thing.colour)
        if piece.part.puff:
            glow = light(placed, piece, piece.part.puff)
        else:
            glow = piece.sweep + np.float32(FLAT_LIGHT)
        share = coverage(piece.distance, placed.pixel)
        lay(window[piece.area], tone(paint, NATURAL, glow), share)


def render(scene: Scene, size: int, supersample: int) -> Plane:
    """The scene as an image [3, size, size] in [0, 1]."""
    image = blank(size, (1.0, 1.0, 1.0))
    paint_backdrop(image, scene, NATURAL)
    for thing in scene.things:
        shadow = ramp(ground_shadow(thing, size), 0.05, -0.05)
        lay(image, NATURAL.shadow, shadow * np.float32(0.5))
    for thing in scene.things:
        paint_figure(image, figure(thing, size, supersample), _paint)
    return image
