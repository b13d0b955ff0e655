"""Pop art: thick black outlines, flat colours, halftone dots, hard offset shadows."""

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from loraloom.playground.backdrops import backdrop
from loraloom.playground.figures import Figure, figure, light, paint_figure
from loraloom.playground.palettes import Palette, Stops, paint_of
from loraloom.playground.raster import Colour, Plane, axis, blank, coverage, lay, mix, ramp, rgb
from loraloom.playground.scenes import Scene

_BLACK: Colour = rgb(18, 14, 20)
_WHITE: Colour = (1.0, 1.0, 1.0)
_DOTS_PER_FRAME = 16
_BACKGROUNDS: Mapping[str, Mapping[str, Stops]] = MappingProxyType(
    {
        # The first of each pair is the flat colour, the second that of its halftone dots.
        "meadow": {
            "sky": (rgb(150, 226, 255), rgb(84, 190, 250)),
            "cloud": (_WHITE, _WHITE),
            "far": (rgb(96, 200, 120), rgb(96, 200, 120)),
            "ground": (rgb(190, 232, 80), rgb(150, 206, 50)),
        },
        "beach": {
            "sky": (rgb(255, 246, 196), rgb(255, 214, 110)),
            "cloud": (_WHITE, _WHITE),
            "far": (rgb(0, 150, 220), rgb(0, 150, 220)),
            "foam": (_WHITE, _WHITE),
            "ground": (rgb(255, 224, 140), rgb(246, 194, 96)),
        },
        "snow": {
            "sky": (rgb(176, 196, 240), rgb(136, 160, 224)),
            "fir": (rgb(20, 112, 104), rgb(20, 112, 104)),
            "far": (rgb(206, 222, 250), rgb(206, 222, 250)),
            "ground": (rgb(236, 244, 255), rgb(200, 216, 246)),
        },
        "night": {
            "sky": (rgb(34, 30, 110), rgb(62, 58, 160)),
            "spark": (rgb(255, 236, 90), rgb(255, 236, 90)),
            "far": (rgb(24, 22, 76), rgb(24, 22, 76)),
            "ground": (rgb(20, 74, 96), rgb(30, 98, 120)),
        },
        "sunset": {
            "sky": (rgb(255, 150, 120), rgb(246, 96, 130)),
            "sun": (rgb(255, 240, 110), rgb(255, 240, 110)),
            "cloud": (rgb(255, 214, 170), rgb(255, 214, 170)),
            "far": (rgb(170, 50, 140), rgb(170, 50, 140)),
            "ground": (rgb(104, 36, 120), rgb(132, 56, 150)),
        },
        "room": {
            "sky": (rgb(255, 216, 190), rgb(250, 186, 160)),
            "frame": (_WHITE, _WHITE),
            "pane": (rgb(120, 214, 255), rgb(120, 214, 255)),
            "far": (rgb(255, 250, 236), rgb(255, 250, 236)),
            "ground": (rgb(206, 124, 70), rgb(178, 98, 50)),
            "plank": (rgb(120, 58, 30), rgb(120, 58, 30)),
        },
    }
)
_PALETTE = Palette(
    colours=MappingProxyType(
        {
            "red": rgb(232, 26, 40),
            "orange": rgb(255, 132, 0),
            "yellow": rgb(255, 222, 0),
            "green": rgb(0, 156, 70),
            "teal": rgb(0, 184, 176),
            "blue": rgb(20, 96, 240),
            "purple": rgb(136, 50, 210),
            "pink": rgb(255, 112, 180),
            "white": rgb(255, 255, 255),
        }
    ),
    companions=MappingProxyType(
        {
            "dark": rgb(40, 36, 48),
            "white": _WHITE,
            "roof": rgb(96, 70, 80),
            "wood": rgb(140, 84, 40),
            "leaf": rgb(40, 150, 60),
            "glass": rgb(186, 236, 255),
            "frame": _WHITE,
            "metal": rgb(214, 216, 222),
            "cream": rgb(255, 236, 200),
            "shade": rgb(190, 150, 110),
            "inner": rgb(255, 140, 150),
            "sunny": rgb(255, 214, 40),
            "earthy": rgb(130, 66, 30),
            "cool": rgb(186, 204, 236),
        }
    ),
    backgrounds=_BACKGROUNDS,
    shadow=rgb(30, 20, 60),
)
_OUTLINED = frozenset(("cloud", "far", "ground", "sun", "frame", "pane", "fir", "foam"))


def _shade(paint: Colour) -> Colour:
    if min(paint) > 0.8:
        return mix(paint, rgb(150, 170, 220), 0.6)
    red, green, blue = paint
    return 0.74 * red, 0.72 * green, 0.78 * blue


def _paint(window: Plane, placed: Figure) -> None:
    outer = coverage(placed.silhouette - np.float32(placed.width(2.6)), placed.pixel)
    lay(window, _BLACK, outer)
    for piece in placed.pieces:
        part, distance, area = piece.part, piece.distance, window[piece.area]
        paint = paint_of(_PALETTE, part.role, placed.thing.colour)
        share = coverage(distance, placed.pixel)
        if part.puff:
            line = np.float32(placed.width(1.7))
            lay(area, _BLACK, coverage(distance - line, placed.pixel) * outer[piece.area[1:]])
        lay(area, paint, share)
        if part.role == "body":
            glow = light(placed, piece, 0.3)
            soft = placed.pixel * 3
            lay(area, _shade(paint), ramp(glow, 0.1 + soft, 0.1 - soft) * share)
            lay(area, _WHITE, ramp(glow, 0.97, 0.97 + soft) * share * np.float32(0.85))


def _cast(window: Plane, placed: Figure) -> None:
    """A hard black copy of the figure, moved to the lower right."""
    shift = max(1, round(placed.width(4.0) / placed.pixel))
    moved = np.full_like(placed.silhouette, 1.0)
    moved[shift:, shift:] = placed.silhouette[:-shift, :-shift]
    share = coverage(moved - np.float32(placed.width(2.0)), placed.pixel)
    lay(window, _PALETTE.shadow, share * np.float32(0.8))


def _halftone(size: int, radius: float) -> Plane:
    """Coverage of dots on a grid of sixteen a side, centred in its cells: [size, size]."""
    wave = np.cos(axis(size) * np.float32(2 * math.pi * _DOTS_PER_FRAME))
    # It is least, -2, at the cell centres; around them its level lines are near-circles.
    level = wave[None, :] + wave[:, None]
    edge = -1.0 - math.cos(2 * math.pi * radius)
    return ramp(level, edge + 0.5, edge - 0.5)


def _paint_backdrop(image: Plane, scene: Scene) -> None:
    size = image.shape[-1]
    dots = _halftone(size, 0.29)
    line = np.float32(1.0 / 128)
    for layer in backdrop(scene.background, scene.seed, size):
        flat, dotted = _BACKGROUNDS[scene.background][layer.role]
        share = coverage(layer.distance, 1.0 / size)
        # A line around the thin bands of an evening sky would hide them.
        if layer.role in _OUTLINED and layer.distance.min() < -0.025:
            lay(image, _BLACK, coverage(layer.distance - line, 1.0 / size))
            share = coverage(layer.distance + line, 1.0 / size)
        lay(image, flat, share)
        if dotted != flat:
            lay(image, dotted, dots * share)


def render(scene: Scene, size: int, supersample: int) -> Plane:
    """The scene as an image [3, size, size] in [0, 1]."""
    image = blank(size, _WHITE)
    _paint_backdrop(image, scene)
    placed = [figure(thing, size, supersample) for thing in scene.things]
    for one in placed:
        paint_figure(image, one, _cast)
    for one in placed:
        paint_figure(image, one, _paint)
    return image
