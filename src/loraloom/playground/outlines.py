"""Signed distances to the larger parts of the objects, in the unit frame of a shape."""

import numpy as np

from loraloom.playground.distances import (
    blend,
    box,
    capsule,
    circle,
    common,
    ellipse,
    heart,
    polygon,
    union,
    without,
)
from loraloom.playground.raster import Plane


def hearted(x: Plane, y: Plane) -> Plane:
    """A heart that stands on its tip."""
    # The root rounds the crease that runs up from the tip; the wedge deepens the notch.
    scale, crease = 1.64, 0.03
    side = np.sqrt(x * x + np.float32(crease**2)) - np.float32(0.6 * crease)
    whole = heart(side / np.float32(scale), (y + np.float32(0.92)) / np.float32(scale))
    notch = polygon(x, y, ((-0.14, 1.06), (0.14, 1.06), (0.0, 0.62)))
    return without(whole * np.float32(scale) - np.float32(0.04), notch)


def petals(x: Plane, y: Plane) -> Plane:
    """Six petals around the head of a flower."""
    sector = np.float32(2 * np.pi / 6)
    v = y - np.float32(0.36)
    angle = np.arctan2(x, v)
    folded = angle - sector * np.round(angle / sector)
    radius = np.hypot(x, v)
    return ellipse(radius * np.sin(folded), radius * np.cos(folded), 0.0, 0.38, 0.215, 0.28)


def roof(x: Plane, y: Plane) -> Plane:
    """Both slopes of a gable roof."""
    return capsule(np.abs(x), y, (0.0, 0.8), (0.86, 0.06), 0.13)


def cat_body(x: Plane, y: Plane) -> Plane:
    """A sitting cat without head and tail."""
    return blend(
        0.16,
        ellipse(x, y, 0.0, -0.46, 0.47, 0.54),
        ellipse(np.abs(x), y, 0.3, -0.76, 0.24, 0.24),
    )


def cat_ears(x: Plane, y: Plane) -> Plane:
    """Both ears of a cat."""
    return polygon(np.abs(x), y, ((0.13, 0.58), (0.46, 0.36), (0.43, 0.92)), 0.05)


def cat_tail(x: Plane, y: Plane) -> Plane:
    """A tail that curls up at the right."""
    ring = np.abs(circle(x, y, 0.52, -0.48, 0.34)) - np.float32(0.1)
    lower = common(ring, (np.float32(0.46) - x))
    return union(lower, circle(x, y, 0.46, -0.14, 0.1))


def car_cabin(x: Plane, y: Plane) -> Plane:
    """The upper half of a car."""
    return polygon(x, y, ((-0.62, 0.0), (0.6, 0.0), (0.3, 0.42), (-0.36, 0.42)), 0.1)


def car_hull(x: Plane, y: Plane) -> Plane:
    """The lower half of a car."""
    return box(x, y, -0.98, -0.48, 0.98, 0.08, 0.2)


def moon(x: Plane, y: Plane) -> Plane:
    """A crescent open to the upper right."""
    return without(circle(x, y, -0.06, 0.0, 0.94), circle(x, y, 0.42, 0.24, 0.74))


def mushroom_cap(x: Plane, y: Plane) -> Plane:
    """A dome with a flat, rounded underside."""
    dome = ellipse(x, y, 0.0, -0.02, 0.93, 0.98)
    return np.maximum(dome + np.float32(0.08), np.float32(0.02) - y) - np.float32(0.08)
