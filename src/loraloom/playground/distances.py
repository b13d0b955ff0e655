"""Signed distances to simple shapes in a unit frame: x right, y up, negative inside."""

import math
from collections.abc import Sequence
from functools import reduce

import numpy as np

from loraloom.playground.raster import Plane


def circle(x: Plane, y: Plane, cx: float, cy: float, radius: float) -> Plane:
    """Distance to a disc."""
    return np.hypot(x - np.float32(cx), y - np.float32(cy)) - np.float32(radius)


def ellipse(x: Plane, y: Plane, cx: float, cy: float, rx: float, ry: float) -> Plane:
    """Distance to an ellipse with upright axes, exact to first order near its edge."""
    u = (x - np.float32(cx)) * np.float32(1 / rx)
    v = (y - np.float32(cy)) * np.float32(1 / ry)
    level = np.hypot(u, v)
    slope = np.hypot(u * np.float32(1 / rx), v * np.float32(1 / ry)) + np.float32(1e-4)
    # Inside, the first-order form grows without bound at the centre; the cap is the true depth.
    return np.maximum(level * (level - 1) / slope, np.float32(-min(rx, ry)))


def box(
    x: Plane, y: Plane, left: float, bottom: float, right: float, top: float, rounding: float = 0.0
) -> Plane:
    """Distance to an upright rectangle whose corners have the radius `rounding`."""
    u = np.abs(x - np.float32((left + right) / 2)) - np.float32((right - left) / 2 - rounding)
    v = np.abs(y - np.float32((bottom + top) / 2)) - np.float32((top - bottom) / 2 - rounding)
    outside = np.hypot(np.maximum(u, 0), np.maximum(v, 0))
    return outside + np.minimum(np.maximum(u, v), 0) - np.float32(rounding)


def capsule(
    x: Plane, y: Plane, start: tuple[float, float], end: tuple[float, float], radius: float
) -> Plane:
    """Distance to a segment thickened by `radius`."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    u, v = x - np.float32(start[0]), y - np.float32(start[1])
    share = np.clip((u * dx + v * dy) * np.float32(1 / (dx * dx + dy * dy)), 0, 1)
    return np.hypot(u - share * np.float32(dx), v - share * np.float32(dy)) - np.float32(radius)


def polygon(
    x: Plane, y: Plane, corners: Sequence[tuple[float, float]], rounding: float = 0.0
) -> Plane:
    """Distance to a simple polygon, its outside grown by `rounding`."""
    nearest: Plane | None = None
    inside = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.bool_)
    for (ax, ay), (bx, by) in zip(corners, (*corners[1:], corners[0]), strict=True):
        dx, dy = bx - ax, by - ay
        u, v = x - np.float32(ax), y - np.float32(ay)
        share = np.clip((u * dx + v * dy) * np.float32(1 / (dx * dx + dy * dy)), 0, 1)
        squared = (u - share * np.float32(dx)) ** 2 + (v - share * np.float32(dy)) ** 2
        nearest = squared if nearest is None else np.minimum(nearest, squared)
        crosses = ((v >= 0) & (y < np.float32(by))) | ((v < 0) & (y >= np.float32(by)))
        turn = np.float32(dx) * v - np.float32(dy) * u
        inside ^= crosses & ((turn > 0) == (dy > 0))
    assert nearest is not None
    return np.where(inside, -1, 1) * np.sqrt(nearest) - np.float32(rounding)


def star(
    x: Plane, y: Plane, cx: float, cy: float, outer: float, inner: float, points: int
) -> Plane:
    """Distance to a star with one point up, by folding the plane onto half of one point."""
    u, v = x - np.float32(cx), y - np.float32(cy)
    sector = 2 * math.pi / points
    angle = np.arctan2(u, v)
    folded = np.abs(angle - np.float32(sector) * np.round(angle * np.float32(1 / sector)))
    radius = np.hypot(u, v)
    px, py = radius * np.sin(folded), radius * np.cos(folded)
    ex, ey = inner * math.sin(sector / 2), inner * math.cos(sector / 2) - outer
    qy = py - np.float32(outer)
    share = np.clip((px * ex + qy * ey) * np.float32(1 / (ex * ex + ey * ey)), 0, 1)
    gap = np.hypot(px - share * np.float32(ex), qy - share * np.float32(ey))
    return np.where(px * np.float32(ey) - qy * np.float32(ex) > 0, -gap, gap)


def heart(x: Plane, y: Plane) -> Plane:
    """Distance to a heart about 1.2 wide with its tip at the origin (Quilez, "2D distances")."""
    u = np.abs(x)
    side = np.hypot(u - np.float32(0.25), y - np.float32(0.75)) - np.float32(math.sqrt(2) / 4)
    along = np.float32(0.5) * np.maximum(u + y, 0)
    tip = np.minimum(u * u + (y - 1) ** 2, (u - along) ** 2 + (y - along) ** 2)
    return np.where(u + y > 1, side, np.sqrt(tip) * np.sign(u - y))


def union(*distances: Plane) -> Plane:
    """Distance to what any of the shapes covers."""
    return reduce(np.minimum, distances)


def blend(softness: float, *distances: Plane) -> Plane:
    """Union whose creases are filled over the length `softness` (Quilez, polynomial minimum)."""

    def pair(first: Plane, second: Plane) -> Plane:
        overlap = np.maximum(np.float32(softness) - np.abs(first - second), 0)
        return np.minimum(first, second) - overlap * overlap * np.float32(0.25 / softness)

    return reduce(pair, distances)


def common(*distances: Plane) -> Plane:
    """Distance to what all the shapes cover."""
    return reduce(np.maximum, distances)


def without(shape: Plane, hole: Plane) -> Plane:
    """Distance to the shape with the hole cut out."""
    return np.maximum(shape, -hole)
