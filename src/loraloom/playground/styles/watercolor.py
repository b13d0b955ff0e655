"""Washes on paper: an unpainted border, blotches, dark pigment edges, wobbling shapes."""

import math

import numpy as np

from loraloom.playground.backdrops import backdrop
from loraloom.playground.distances import box
from loraloom.playground.figures import Figure, figure, ground_shadow, light, paint_figure
from loraloom.playground.palettes import NATURAL, paint_of, vivid
from loraloom.playground.raster import (
    Colour,
    Plane,
    axis,
    blank,
    blotches,
    coverage,
    lay,
    mix,
    ramp,
    rgb,
)
from loraloom.playground.scenes import Scene
from loraloom.playground.styles.plain import gradient

_PAPER: Colour = rgb(252, 249, 241)
_GRAIN_PERIOD = 1 / 16


def _pigment(paint: Colour) -> Colour:
    """A paint as transparent pigment: a little paler, never black."""
    if min(paint) > 0.85:
        return rgb(206, 214, 236)
    return mix(vivid(paint, 1.2, 0.42), _PAPER, 0.14)


def _wash(image: Plane, paint: Plane | Colour, share: Plane, density: Plane | float) -> None:
    """Lay a wash: planes 0 to 2 take the pigment, plane 3 its density."""
    lay(image[:3], paint, share)
    plane = image[3]
    plane += share * (density - plane)


def _paint(window: Plane, placed: Figure) -> None:
    # Planes 0 to 2: pigment; 3: its density; 4: blotches.
    # A sliver of bare paper around a thing keeps it apart from the ground.
    gap = coverage(placed.silhouette - np.float32(placed.width(1.1)), placed.pixel * 2)
    window[3] *= np.float32(1.0) - np.float32(0.6) * gap
    for piece in placed.pieces:
        part, area = piece.part, window[piece.area]
        paint = paint_of(NATURAL, part.role, placed.thing.colour)
        pigment = _pigment(paint)
        blotch = area[4]
        distance = piece.distance + np.float32(placed.width(0.6)) * blotch
        share = coverage(distance, placed.pixel * 2)
        edge = ramp(distance, -placed.width(2.8), -placed.width(0.4))
        density = np.float32(0.74) + np.float32(0.24) * blotch
        density += edge * (np.float32(0.6) + np.float32(0.3) * blotch)
        if min(paint) > 0.85:
            # White is mostly bare paper.
            density -= np.float32(0.35)
        if part.puff:
            density -= np.float32(0.34) * light(placed, piece, max(part.puff, 0.4))
            density += np.float32(0.2)
        _wash(area, pigment, share, density)


def _bleed(image: Plane, scene: Scene, size: int) -> None:
    """Let each thing's colour run into the wet ground beneath it."""
    for thing in scene.things:
        pool = ramp(ground_shadow(thing, size), 0.05, -0.04)
        tint = mix(_pigment(NATURAL.colours[thing.colour]), rgb(90, 90, 130), 0.5)
        _wash(image, tint, pool * np.float32(0.75), 1.05)


def render(scene: Scene, size: int, supersample: int) -> Plane:
    """The scene as an image [3, size, size] in [0, 1]."""
    generator = np.random.default_rng((scene.seed, 2))
    slow, fast = blotches(generator, 4, size), blotches(generator, 9, size)
    image = blank(size, (*_PAPER, 0.0, 0.0))
    image[4] = blotches(generator, 13, size)
    stops = NATURAL.backgrounds[scene.background]
    for layer in backdrop(scene.background, scene.seed, size):
        top, bottom = (_pigment(stop) for stop in stops[layer.role])
        distance = layer.distance + np.float32(0.006) * fast
        edge = ramp(distance, -0.03, -0.002)
        pale = layer.role in ("cloud", "spark", "foam", "frame")
        density = np.float32(0.08 if pale else 0.72) + np.float32(0.0 if pale else 0.36) * edge
        if scene.background == "snow":
            # Snow is laid darker than it is, that white things stand out before it.
            density = density * np.float32(1.7)
        if layer.role == "sky":
            density = density - np.float32(0.34) * axis(size)[:, None]
        share = coverage(distance, max(2.0 / size, layer.soft))
        _wash(image, gradient(layer, top, bottom, size), share, density)
    _bleed(image, scene, size)
    for thing in scene.things:
        phase = float(generator.uniform(0, 2 * math.pi))
        placed = figure(thing, size, supersample, wobble=0.003, phase=phase)
        paint_figure(image, placed, _paint)
    return _dried(image, slow, fast, size)


def _dried(image: Plane, slow: Plane, fast: Plane, size: int) -> Plane:
    """The pigment planes as colour on paper, with the border left bare (Beer's law)."""
    x = np.broadcast_to(axis(size)[None, :], (size, size))
    y = np.broadcast_to(axis(size)[:, None], (size, size))
    border = box(x, y, 0.05, 0.05, 0.95, 0.95, 0.03)
    border += np.float32(0.014) * fast + np.float32(0.01) * slow
    density = image[3] * (np.float32(1.0) + np.float32(0.36) * slow + np.float32(0.24) * fast)
    density += np.float32(0.3) * ramp(border, -0.035, -0.004) * (density > 0.2)
    density *= ramp(border, 0.008, -0.008)
    wave = np.float32(2 * math.pi / _GRAIN_PERIOD)
    grain = np.sin(x[:1] * wave) * np.sin(y[:, :1] * wave)
    density *= np.float32(1.0) + np.float32(0.035) * grain
    paper = np.array(_PAPER, np.float32)[:, None, None]
    pigment = np.maximum(image[:3], np.float32(0.03))
    return paper * np.exp(density * np.log(pigment / paper))
