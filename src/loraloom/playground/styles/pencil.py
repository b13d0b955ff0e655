"""Coloured pencil: diagonal hatching on off-white paper and soft graphite outlines."""

import math

import numpy as np

from loraloom.playground.backdrops import backdrop
from loraloom.playground.figures import Figure, figure, ground_shadow, light, paint_figure
from loraloom.playground.palettes import NATURAL, paint_of, shaded, vivid
from loraloom.playground.raster import (
    Colour,
    Plane,
    axis,
    blank,
    blotches,
    coverage,
    lay,
    ramp,
    rgb,
)
from loraloom.playground.scenes import Scene
from loraloom.playground.styles.plain import gradient

_PAPER: Colour = rgb(248, 245, 236)
_GRAPHITE: Colour = rgb(66, 64, 72)
_STROKES_PER_FRAME = 16


def _stroke(distance: Plane, width: float, soft: float) -> Plane:
    """Coverage of a soft line along the edge of a shape."""
    return ramp(np.abs(distance), width + soft, max(0.0, width - soft))


def _paint(window: Plane, placed: Figure) -> None:
    # Planes 0 to 2: pigment; 3: pressure; 4: graphite; 5: one where the strokes cross.
    for piece in placed.pieces:
        part, distance, area = piece.part, piece.distance, window[piece.area]
        paint = paint_of(NATURAL, part.role, placed.thing.colour)
        share = coverage(distance, placed.pixel)
        white = min(paint) > 0.85
        tint = rgb(222, 228, 240) if white else paint
        pressure: Plane | float = 0.3 if white else 0.86
        if part.puff:
            glow = light(placed, piece, max(part.puff, 0.35))
            pressure = np.float32(pressure + 0.24) - np.float32(0.34) * glow
            dark = ramp(glow, 0.45, -0.4)
            planes = [
                np.float32(t) + np.float32(d - t) * dark
                for t, d in zip(tint, shaded(NATURAL, tint, 0.5), strict=True)
            ]
            lay(area[:3], planes, share)
        else:
            lay(area[:3], tint, share)
        area[3] += share * (pressure - area[3])
        area[5] += share * (1 - area[5])
        line = 0.62 if part.puff else 0.4
        mark = _stroke(distance, placed.width(line), placed.width(0.6))
        area[4] *= 1 - share
        np.maximum(area[4], mark * np.float32(0.8 if part.puff else 0.5), out=area[4])
    edge = _stroke(placed.silhouette, placed.width(0.8), placed.width(0.7))
    np.maximum(window[4], edge * np.float32(0.9), out=window[4])


def render(scene: Scene, size: int, supersample: int) -> Plane:
    """The scene as an image [3, size, size] in [0, 1]."""
    generator = np.random.default_rng((scene.seed, 3))
    image = blank(size, (*_PAPER, 0.0, 0.0, 0.0))
    stops = NATURAL.backgrounds[scene.background]
    for layer in backdrop(scene.background, scene.seed, size):
        share = coverage(layer.distance, max(1.0 / size, layer.soft))
        top, bottom = (vivid(stop, 1.3, 0.45) for stop in stops[layer.role])
        lay(image[:3], gradient(layer, top, bottom, size), share)
        pale = layer.role in ("cloud", "spark", "foam", "frame")
        pressure = 0.1 if pale else 0.9 - 0.32 * max(*top, *bottom)
        image[3] += share * (np.float32(pressure) - image[3])
        image[4] *= 1 - share
        if layer.role not in ("sky", "spark", "cloud"):
            mark = _stroke(layer.distance, 0.5 / 128, 0.6 / 128)
            np.maximum(image[4], mark * np.float32(0.45), out=image[4])
    for thing in scene.things:
        shadow = ramp(ground_shadow(thing, size), 0.03, -0.03)
        lay(image[:3], rgb(70, 66, 92), shadow * np.float32(0.7))
        image[3] += shadow * (np.float32(0.8) - image[3])
    for thing in scene.things:
        phase = float(generator.uniform(0, 2 * math.pi))
        placed = figure(thing, size, supersample, wobble=0.004, phase=phase)
        paint_figure(image, placed, _paint)
    return _drawn(image, blotches(generator, 6, size), size)


def _drawn(image: Plane, hand: Plane, size: int) -> Plane:
    """The planes as pencil on paper: strokes fall one way on the ground, crossed on things."""
    x, y = axis(size)[None, :], axis(size)[:, None]
    wave = np.float32(2 * math.pi * _STROKES_PER_FRAME)
    first, second = np.cos((x + y) * wave), np.cos((x - y) * wave)
    strokes = first + image[5] * (second - first)
    border = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y)) + np.float32(0.02) * hand
    pressure = image[3] * (np.float32(1.0) + np.float32(0.1) * hand)
    # Strokes show on the ground; on a thing, drawn with more care, the colour closes up.
    # So it does where it is dark, or the night would be striped with paper.
    brightness = np.maximum(np.maximum(image[0], image[1]), image[2])
    strength = np.float32(0.26) - np.float32(0.12) * image[5]
    strength *= np.float32(0.3) + np.float32(0.7) * brightness
    pressure = pressure * (np.float32(0.86) + strength * strokes)
    drawn = ramp(border, 0.02, 0.07)
    pressure *= drawn
    np.clip(pressure, 0, 1, out=pressure)
    paper = blank(size, _PAPER)
    lay(paper, image[:3], pressure)
    lay(paper, _GRAPHITE, image[4] * drawn)
    return paper
