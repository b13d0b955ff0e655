"""The backgrounds as stacks of layers in the frame [0, 1], y down; their seed moves the details."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from loraloom.playground.distances import box, circle, ellipse, polygon, union
from loraloom.playground.raster import Plane, axis


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One area: its role names its paint, which runs from `top` to `bottom` in the frame.

    The distance [size, size] is negative inside; `soft` is the width of its blurred edge.
    """

    role: str
    distance: Plane
    top: float
    bottom: float
    soft: float = 0.0


Drawn = tuple[Layer, ...]
Draw = Callable[[np.random.Generator, Plane, Plane], Drawn]


def backdrop(background: str, seed: int, size: int) -> Drawn:
    """The layers of a background from back to front; the first covers the whole frame."""
    generator = np.random.default_rng(seed)
    x = np.broadcast_to(axis(size)[None, :], (size, size))
    y = np.broadcast_to(axis(size)[:, None], (size, size))
    return _BACKDROPS[background](generator, x, y)


def _everywhere(role: str, x: Plane, bottom: float) -> Layer:
    return Layer(role=role, distance=np.full(x.shape, -1.0, np.float32), top=0.0, bottom=bottom)


def _ridge(
    generator: np.random.Generator, x: Plane, y: Plane, role: str, height: float, swing: float
) -> Layer:
    """All below a wavy line around `height`."""
    phase = generator.uniform(0, 2 * math.pi, 2)
    line = np.sin(x[:1] * np.float32(7.0) + np.float32(phase[0])) + np.float32(0.5) * np.sin(
        x[:1] * np.float32(13.0) + np.float32(phase[1])
    )
    shift = float(generator.uniform(-0.015, 0.015))
    edge = np.float32(height + shift) + np.float32(swing) * line
    return Layer(role=role, distance=edge - y, top=height - swing, bottom=1.0)


def _cloud(x: Plane, y: Plane, cx: float, cy: float, scale: float) -> Layer:
    shape = union(
        ellipse(x, y, cx, cy, 0.15 * scale, 0.042 * scale),
        circle(x, y, cx - 0.045 * scale, cy - 0.025 * scale, 0.052 * scale),
        circle(x, y, cx + 0.04 * scale, cy - 0.035 * scale, 0.062 * scale),
    )
    return Layer(role="cloud", distance=shape, top=cy - 0.1 * scale, bottom=cy + 0.05, soft=0.02)


def _clouds(generator: np.random.Generator, x: Plane, y: Plane) -> Drawn:
    sway = generator.uniform(-1.0, 1.0, 6)
    return (
        _cloud(x, y, 0.2 + 0.1 * float(sway[0]), 0.15 + 0.04 * float(sway[1]), 1.15),
        _cloud(x, y, 0.76 + 0.1 * float(sway[2]), 0.22 + 0.06 * float(sway[3]), 0.9),
    )


def _meadow(generator: np.random.Generator, x: Plane, y: Plane) -> Drawn:
    return (
        _everywhere("sky", x, 0.6),
        *_clouds(generator, x, y),
        _ridge(generator, x, y, "far", 0.53, 0.03),
        _ridge(generator, x, y, "ground", 0.64, 0.014),
    )


def _beach(generator: np.random.Generator, x: Plane, y: Plane) -> Drawn:
    clouds = _clouds(generator, x, y)
    shore = _ridge(generator, x, y, "ground", 0.66, 0.012)
    foam = Layer(
        role="foam", distance=shore.distance - np.float32(0.028), top=0.62, bottom=0.7, soft=0.008
    )
    sea = Layer(role="far", distance=np.float32(0.46) - y, top=0.46, bottom=0.66)
    return (_everywhere("sky", x, 0.46), *clouds, sea, foam, shore)


def _firs(generator: np.random.Generator, x: Plane, y: Plane) -> Layer:
    places = (0.09, 0.2, 0.8, 0.93)
    sway = generator.uniform(-0.03, 0.03, len(places))
    heights = generator.uniform(0.15, 0.23, len(places))
    shapes = [
        polygon(
            x,
            y,
            (
                (place + float(shift) - 0.29 * float(height), 0.56),
                (place + float(shift) + 0.29 * float(height), 0.56),
                (place + float(shift), 0.56 - float(height)),
            ),
            0.004,
        )
        for place, shift, height in zip(places, sway, heights, strict=True)
    ]
    return Layer(role="fir", distance=union(*shapes), top=0.33, bottom=0.58)


def _snow(generator: np.random.Generator, x: Plane, y: Plane) -> Drawn:
    return (
        _everywhere("sky", x, 0.55),
        _firs(generator, x, y),
        _ridge(generator, x, y, "far", 0.54, 0.02),
        _ridge(generator, x, y, "ground", 0.65, 0.014),
    )


def _night(generator: np.random.Generator, x: Plane, y: Plane) -> Drawn:
    places = generator.uniform(-0.05, 0.05, (8, 2))
    radii = generator.uniform(0.009, 0.016, 8)
    stars = union(
        *(
            circle(
                x,
                y,
                (0.07, 0.19, 0.31, 0.44, 0.57, 0.7, 0.82, 0.94)[index]
                + float(places[index, 0]) / 2,
                (0.12, 0.34, 0.08, 0.2, 0.09, 0.25, 0.1, 0.36)[index] + float(places[index, 1]),
                float(radii[index]),
            )
            for index in range(8)
        )
    )
    return (
        _everywhere("sky", x, 0.6),
        Layer(role="spark", distance=stars, top=0.0, bottom=0.5, soft=0.008),
        _ridge(generator, x, y, "far", 0.56, 0.03),
        _ridge(generator, x, y, "ground", 0.66, 0.014),
    )


def _sunset(generator: np.random.Generator, x: Plane, y: Plane) -> Drawn:
    place = float(generator.choice((0.22, 0.78)) + generator.uniform(-0.06, 0.06))
    strip = float(generator.uniform(0.2, 0.3))
    bands = union(
        ellipse(x, y, place + 0.1, strip, 0.3, 0.02),
        ellipse(x, y, place - 0.25, strip + 0.1, 0.24, 0.014),
    )
    sun = circle(x, y, place, 0.54, 0.13)
    return (
        _everywhere("sky", x, 0.6),
        Layer(role="sun", distance=sun, top=0.4, bottom=0.6, soft=0.012),
        Layer(role="cloud", distance=bands, top=strip, bottom=strip + 0.1, soft=0.02),
        _ridge(generator, x, y, "far", 0.57, 0.022),
        _ridge(generator, x, y, "ground", 0.67, 0.012),
    )


def _room(generator: np.random.Generator, x: Plane, y: Plane) -> Drawn:
    cx = float(generator.choice((0.2, 0.8)) + generator.uniform(-0.04, 0.04))
    cy = 0.26 + float(generator.uniform(-0.03, 0.03))
    panes = union(
        box(x, y, cx - 0.11, cy - 0.12, cx - 0.01, cy + 0.12),
        box(x, y, cx + 0.01, cy - 0.12, cx + 0.11, cy + 0.12),
    )
    frame = box(x, y, cx - 0.135, cy - 0.145, cx + 0.135, cy + 0.145, 0.01)
    floor = 0.66 + float(generator.uniform(-0.015, 0.015))
    planks = np.abs(y - np.float32(floor + 0.1)) - np.float32(0.004)
    planks = np.minimum(planks, np.abs(y - np.float32(floor + 0.22)) - np.float32(0.005))
    return (
        _everywhere("sky", x, 0.66),
        Layer(role="frame", distance=frame, top=0.1, bottom=0.42),
        Layer(role="pane", distance=panes, top=0.14, bottom=0.38),
        Layer(role="far", distance=np.float32(floor - 0.03) - y, top=floor - 0.03, bottom=floor),
        Layer(role="ground", distance=np.float32(floor) - y, top=floor, bottom=1.0),
        Layer(role="plank", distance=planks, top=floor, bottom=1.0),
    )


_BACKDROPS = MappingProxyType(
    {
        "meadow": _meadow,
        "beach": _beach,
        "snow": _snow,
        "night": _night,
        "sunset": _sunset,
        "room": _room,
    }
)
