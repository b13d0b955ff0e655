"""Pixel art: square blocks on a 32-block grid, few colours, ordered dithering, dark outlines."""

from types import MappingProxyType

import numpy as np

from loraloom.playground.backdrops import backdrop
from loraloom.playground.figures import Figure, figure, ground_shadow, light
from loraloom.playground.palettes import NATURAL, lit, paint_of, shaded
from loraloom.playground.raster import Colour, Plane, axis, blank, enlarge, lay, mix, rgb
from loraloom.playground.scenes import Scene

_BLOCKS = 32
_STEPS = 3
# Thin layers grow by a share of a block, else they would fall between the blocks' centres.
_MARGINS = MappingProxyType({"fir": 0.5, "spark": 0.3, "foam": 0.3, "plank": 0.35, "pane": -0.3})
_THIN = frozenset(("leaf", "wood"))
_OUTLINE: Colour = rgb(34, 26, 48)
_THRESHOLDS = np.tile(
    np.array([[0.125, 0.625], [0.875, 0.375]], np.float32), (_BLOCKS // 2, _BLOCKS // 2)
)
"""A 2 x 2 ordered dither, so its period is a sixteenth of the frame."""


def _hard(distance: Plane) -> Plane:
    return (distance < 0).astype(np.float32)


def _paint_backdrop(image: Plane, scene: Scene) -> None:
    for layer in backdrop(scene.background, scene.seed, _BLOCKS):
        top, bottom = NATURAL.backgrounds[scene.background][layer.role]
        inside = _hard(layer.distance - np.float32(_MARGINS.get(layer.role, 0.0) / _BLOCKS))
        share = np.clip((axis(_BLOCKS) - layer.top) / (layer.bottom - layer.top), 0, 1)[:, None]
        level = np.floor(share * np.float32(_STEPS) + _THRESHOLDS) * np.float32(1 / _STEPS)
        start, stop = np.array(top, np.float32), np.array(bottom, np.float32)
        paint = start[:, None, None] + (stop - start)[:, None, None] * level
        lay(image, paint, inside)


def _paint(image: Plane, placed: Figure) -> None:
    window = image[:, placed.rows, placed.columns]
    thresholds = _THRESHOLDS[placed.rows, placed.columns]
    # Stems and stalks grow a little, lest they fall between the blocks' centres.
    grow = np.float32(0.2 * placed.pixel)
    lay(window, _OUTLINE, _hard(placed.silhouette - np.float32(0.8 * placed.pixel)))
    for piece in placed.pieces:
        part, area = piece.part, window[piece.area]
        paint = paint_of(NATURAL, part.role, placed.thing.colour)
        inside = _hard(piece.distance - grow if part.role in _THIN else piece.distance)
        lay(area, paint, inside)
        if not part.puff:
            continue
        glow = light(placed, piece, max(part.puff, 2.5 * placed.pixel))
        glow += np.float32(0.12) * (thresholds[piece.area[1:]] - np.float32(0.5))
        lay(area, shaded(NATURAL, paint, 0.62), inside * (glow < 0.3))
        lay(area, lit(paint, 0.42), inside * (glow > 0.86))


def render(scene: Scene, size: int, supersample: int) -> Plane:
    """The scene as an image [3, size, size] in [0, 1]; blocks need no supersampling."""
    del supersample
    image = blank(_BLOCKS, (1.0, 1.0, 1.0))
    _paint_backdrop(image, scene)
    for thing in scene.things:
        shadow = _hard(ground_shadow(thing, _BLOCKS))
        lay(image, mix(NATURAL.shadow, (0.0, 0.0, 0.0), 0.3), shadow * np.float32(0.5))
    for thing in scene.things:
        _paint(image, figure(thing, _BLOCKS, 1))
    return enlarge(image, size // _BLOCKS)
