"""The objects as stacks of parts: signed distances in a unit frame, x right, y up, in [-1, 1]."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from loraloom.playground.distances import (
    blend,
    box,
    capsule,
    circle,
    common,
    ellipse,
    polygon,
    star,
    union,
)
from loraloom.playground.outlines import (
    car_cabin,
    car_hull,
    cat_body,
    cat_ears,
    cat_tail,
    hearted,
    moon,
    mushroom_cap,
    petals,
    roof,
)
from loraloom.playground.raster import Plane

Distance = Callable[[Plane, Plane], Plane]


@dataclass(frozen=True)
class Part:
    """One area: its role names its paint, `puff` is the width of its rounded edge (0: flat)."""

    role: str
    distance: Distance
    puff: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Parts from back to front; the foot is the lowest y, `reach` half the width of its shadow."""

    parts: tuple[Part, ...]
    foot: float = -1.0
    reach: float = 0.8


_BALL = Shape(
    parts=(
        Part("body", lambda x, y: circle(x, y, 0.0, 0.0, 0.97), 0.97),
        Part(
            "trim",
            lambda x, y: common(
                circle(x, y, 0.0, 0.0, 0.97),
                np.abs(y - np.float32(0.16) - np.float32(0.22) * x * x + np.float32(0.35) * x)
                - np.float32(0.15),
            ),
        ),
    ),
    reach=0.72,
)
_HOUSE = Shape(
    parts=(
        Part("roof", lambda x, y: box(x, y, 0.38, 0.3, 0.62, 0.92, 0.02), 0.15),
        Part(
            "body",
            lambda x, y: polygon(
                x, y, ((-0.74, -1.0), (0.74, -1.0), (0.74, 0.14), (0.0, 0.8), (-0.74, 0.14))
            ),
            0.16,
        ),
        Part("roof", roof, 0.14),
        Part("wood", lambda x, y: box(x, y, -0.18, -1.0, 0.18, -0.38, 0.06), 0.1),
        Part("frame", lambda x, y: box(np.abs(x), y, 0.29, -0.5, 0.63, -0.12, 0.03)),
        Part("glass", lambda x, y: box(np.abs(x), y, 0.34, -0.45, 0.58, -0.17, 0.02)),
        Part("glass", lambda x, y: circle(x, y, 0.0, 0.24, 0.15)),
    ),
    reach=0.85,
)
_TREE = Shape(
    parts=(
        Part(
            "wood",
            lambda x, y: polygon(
                x, y, ((-0.22, -0.98), (0.22, -0.98), (0.1, -0.1), (-0.1, -0.1)), 0.02
            ),
            0.16,
        ),
        Part(
            "body",
            lambda x, y: blend(
                0.1,
                circle(x, y, 0.0, 0.52, 0.45),
                circle(np.abs(x), y, 0.44, 0.06, 0.4),
                circle(x, y, 0.0, -0.04, 0.4),
            ),
            0.42,
        ),
    ),
    reach=0.55,
)
_FISH = Shape(
    parts=(
        Part(
            "dark_body",
            lambda x, y: blend(
                0.1,
                polygon(x, y, ((0.36, 0.0), (0.9, 0.5), (0.74, 0.0), (0.9, -0.5)), 0.06),
                polygon(x, y, ((-0.34, 0.4), (0.3, 0.34), (0.16, 0.68)), 0.06),
                polygon(x, y, ((-0.1, -0.4), (0.26, -0.34), (0.16, -0.64)), 0.05),
            ),
            0.2,
        ),
        Part("body", lambda x, y: ellipse(x, y, -0.2, 0.0, 0.76, 0.52), 0.5),
        Part(
            "light_body",
            lambda x, y: common(
                ellipse(x, y, -0.2, 0.0, 0.76, 0.52),
                np.abs(np.hypot(x + np.float32(0.74), y) - np.float32(0.86)) - np.float32(0.055),
            ),
        ),
        Part("dark_body", lambda x, y: ellipse(x, y, -0.02, -0.12, 0.18, 0.1)),
        Part("white", lambda x, y: circle(x, y, -0.56, 0.13, 0.145)),
        Part("dark", lambda x, y: circle(x, y, -0.59, 0.13, 0.085)),
    ),
    foot=-0.74,
    reach=0.75,
)
_FLOWER = Shape(
    parts=(
        Part("leaf", lambda x, y: capsule(x, y, (0.0, -0.95), (0.0, 0.1), 0.06), 0.06),
        Part(
            "leaf",
            lambda x, y: ellipse(
                np.float32(0.85) * np.abs(x) + np.float32(0.52) * (y + 0.62),
                np.float32(-0.52) * np.abs(x) + np.float32(0.85) * (y + 0.62),
                0.27,
                0.1,
                0.27,
                0.13,
            ),
            0.13,
        ),
        Part("body", petals, 0.24),
        Part("centre", lambda x, y: circle(x, y, 0.0, 0.36, 0.21), 0.2),
    ),
    reach=0.4,
)
_CAR = Shape(
    parts=(
        Part("body", lambda x, y: blend(0.1, car_cabin(x, y), car_hull(x, y)), 0.28),
        Part(
            "glass",
            lambda x, y: common(
                polygon(x, y, ((-0.52, 0.04), (0.5, 0.04), (0.26, 0.38), (-0.33, 0.38)), 0.03),
                np.float32(0.05) - np.abs(x + np.float32(0.03)),
            ),
        ),
        Part("centre", lambda x, y: ellipse(x, y, 0.9, -0.2, 0.07, 0.1)),
        Part("dark", lambda x, y: circle(np.abs(x), y, 0.53, -0.48, 0.27), 0.12),
        Part("metal", lambda x, y: circle(np.abs(x), y, 0.53, -0.48, 0.12), 0.12),
    ),
    foot=-0.75,
    reach=0.95,
)


_CAT = Shape(
    parts=(
        Part("dark_body", cat_tail, 0.1),
        Part("body", cat_body, 0.4),
        Part("light_body", lambda x, y: ellipse(x, y, 0.0, -0.42, 0.22, 0.3)),
        Part("body", cat_ears, 0.12),
        Part("body", lambda x, y: ellipse(x, y, 0.0, 0.3, 0.51, 0.42), 0.4),
        Part(
            "inner",
            lambda x, y: polygon(np.abs(x), y, ((0.25, 0.68), (0.38, 0.62), (0.385, 0.8)), 0.02),
        ),
        Part("white", lambda x, y: ellipse(x, y, 0.0, 0.15, 0.2, 0.13)),
        Part("dark", lambda x, y: ellipse(np.abs(x), y, 0.22, 0.36, 0.075, 0.105)),
        Part("white", lambda x, y: circle(np.abs(x - np.float32(-0.025)), y, 0.22, 0.4, 0.032)),
        Part("inner", lambda x, y: ellipse(x, y, 0.0, 0.21, 0.07, 0.05)),
    ),
    reach=0.62,
)
_STAR = Shape(
    parts=(
        Part("body", lambda x, y: star(x, y, 0.0, -0.06, 0.95, 0.47, 5) - np.float32(0.07), 0.42),
    ),
    foot=-0.84,
    reach=0.65,
)
_HEART = Shape(parts=(Part("body", hearted, 0.62),), foot=-0.98, reach=0.5)
_MUSHROOM = Shape(
    parts=(
        Part(
            "cream",
            lambda x, y: blend(
                0.15,
                box(x, y, -0.25, -0.98, 0.25, 0.1, 0.15),
                ellipse(x, y, 0.0, -0.8, 0.34, 0.2),
            ),
            0.25,
        ),
        Part("shade", lambda x, y: ellipse(x, y, 0.0, -0.04, 0.62, 0.12)),
        Part("body", mushroom_cap, 0.5),
        Part(
            "trim",
            lambda x, y: common(
                mushroom_cap(x, y),
                union(
                    ellipse(x, y, -0.02, 0.58, 0.19, 0.17),
                    ellipse(x, y, -0.52, 0.24, 0.14, 0.15),
                    ellipse(x, y, 0.45, 0.3, 0.17, 0.17),
                ),
            ),
        ),
    ),
    reach=0.5,
)
_MOON = Shape(
    parts=(
        Part("body", moon, 0.34),
        Part("dark_body", lambda x, y: circle(x, y, -0.62, 0.16, 0.11)),
        Part("dark_body", lambda x, y: circle(x, y, -0.42, -0.4, 0.14)),
        Part("dark_body", lambda x, y: circle(x, y, 0.08, -0.7, 0.08)),
    ),
    foot=-0.94,
    reach=0.6,
)
_BOAT = Shape(
    parts=(
        Part("wood", lambda x, y: box(x, y, -0.04, -0.4, 0.04, 0.97, 0.02), 0.06),
        Part(
            "white",
            lambda x, y: polygon(x, y, ((0.11, -0.14), (0.11, 0.86), (0.72, -0.14)), 0.04),
            0.3,
        ),
        Part(
            "body",
            lambda x, y: polygon(x, y, ((-0.12, -0.14), (-0.12, 0.7), (-0.62, -0.14)), 0.04),
            0.2,
        ),
        Part(
            "body",
            lambda x, y: polygon(
                x, y, ((-0.9, -0.32), (0.9, -0.32), (0.6, -0.86), (-0.56, -0.86)), 0.08
            ),
            0.3,
        ),
        Part("trim", lambda x, y: box(x, y, -0.86, -0.42, 0.86, -0.32, 0.04)),
    ),
    foot=-0.94,
    reach=0.85,
)

SHAPES = MappingProxyType(
    {
        "ball": _BALL,
        "house": _HOUSE,
        "tree": _TREE,
        "fish": _FISH,
        "flower": _FLOWER,
        "car": _CAR,
        "cat": _CAT,
        "star": _STAR,
        "heart": _HEART,
        "mushroom": _MUSHROOM,
        "moon": _MOON,
        "boat": _BOAT,
    }
)
"""Every member of OBJECTS and its shape."""
