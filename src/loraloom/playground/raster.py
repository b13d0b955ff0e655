"""The pixel grid: planes of float32, coverage from distances, painting and resampling."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.floating[Any]]
"""Values per pixel as float32, [height, width], or [channels, height, width] for an image."""
Colour = tuple[float, float, float]
"""Red, green and blue in [0, 1], as encoded in sRGB."""


@lru_cache(maxsize=32)
def axis(size: int) -> Plane:
    """Centres of `size` pixels along a frame of length 1."""
    centres = ((np.arange(size) + 0.5) / size).astype(np.float32)
    centres.setflags(write=False)
    return centres


def blank(size: int, fills: Sequence[float]) -> Plane:
    """An image with one plane per fill value: [fills, size, size]."""
    image = np.empty((len(fills), size, size), np.float32)
    for plane, fill in zip(image, fills, strict=True):
        plane[...] = fill
    return image


def coverage(distance: Plane, width: float) -> Plane:
    """Share of a pixel inside a shape, from the signed distance (negative inside)."""
    share = distance * np.float32(-1.0 / width)
    share += np.float32(0.5)
    return np.clip(share, 0.0, 1.0, out=share)


def ramp(values: Plane, low: float, high: float) -> Plane:
    """Zero below `low`, one above `high`, smooth between; `low` may exceed `high`."""
    share = (values - np.float32(low)) * np.float32(1.0 / (high - low))
    np.clip(share, 0.0, 1.0, out=share)
    return share * share * (np.float32(3.0) - np.float32(2.0) * share)


def lay(image: Plane, paint: Sequence[float] | Sequence[Plane] | Plane, share: Plane) -> None:
    """Mix paint (one value or plane per channel) into the first channels of the image, in place."""
    for plane, value in zip(image, paint, strict=False):
        tone = np.float32(value) if isinstance(value, float | int) else value
        plane += share * (tone - plane)


def enlarge(image: Plane, factor: int) -> Plane:
    """Repeat each pixel `factor` times along both axes."""
    return np.repeat(np.repeat(image, factor, axis=-2), factor, axis=-1)


def shrink(image: Plane, factor: int) -> Plane:
    """Mean over blocks of `factor` by `factor` pixels."""
    if factor == 1:
        return image
    total = image[..., ::factor, ::factor].copy()
    for row in range(factor):
        for column in range(factor):
            if row or column:
                total += image[..., row::factor, column::factor]
    total *= np.float32(1.0 / factor**2)
    return total


@lru_cache(maxsize=32)
def _spline(size: int, cells: int) -> Plane:
    """Weights [size, cells + 3] of the uniform cubic B-spline over `cells` spans."""
    place = axis(size) * cells
    first = np.minimum(place.astype(np.int64), cells - 1)
    t = place - first
    weights = np.zeros((size, cells + 3), np.float32)
    rows = np.arange(size)
    weights[rows, first] = (1 - t) ** 3 / 6
    weights[rows, first + 1] = (3 * t**3 - 6 * t**2 + 4) / 6
    weights[rows, first + 2] = (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6
    weights[rows, first + 3] = t**3 / 6
    weights.setflags(write=False)
    return weights


def blotches(generator: np.random.Generator, cells: int, size: int) -> Plane:
    """A smooth random plane [size, size] around 0, mostly in [-1, 1], with `cells` spans a side."""
    knots = generator.uniform(-1.7, 1.7, (cells + 3, cells + 3)).astype(np.float32)
    weights = _spline(size, cells)
    return weights @ knots @ weights.T


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour `share` of the way from the first to the second."""
    red, green, blue = (a + share * (b - a) for a, b in zip(first, second, strict=True))
    return red, green, blue


def rgb(red: int, green: int, blue: int) -> Colour:
    """A colour from its bytes."""
    return red / 255, green / 255, blue / 255


def to_bytes(image: Plane) -> npt.NDArray[np.uint8]:
    """The first three planes as an image [height, width, 3] of bytes."""
    scaled = image[:3] * np.float32(255.0) + np.float32(0.5)
    np.clip(scaled, 0.0, 255.0, out=scaled)
    return np.ascontiguousarray(scaled.astype(np.uint8).transpose(1, 2, 0))
