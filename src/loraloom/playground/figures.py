"""A thing placed on the pixel grid: the distances of its parts and the light on them."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loraloom.playground.distances import ellipse
from loraloom.playground.raster import Plane, axis, enlarge, shrink
from loraloom.playground.scenes import Thing
from loraloom.playground.shapes import SHAPES, Part, Shape

_LIGHT = (-0.55, 0.6, 0.58)
"""Where the light is: left, up, towards the viewer."""
FLAT_LIGHT = _LIGHT[2]
"""Light on a surface that faces the viewer."""
_MARGIN = 0.07
_OUTLINE = 4.0
"""Pixels of a 128-pixel frame around a part within which its distance is known."""
_REFERENCE = 128


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part within its own window of the figure's fine grid."""

    part: Part
    area: tuple[slice, slice, slice]
    """All planes, and the rows and columns that hold the part with its outline."""
    distance: Plane
    sweep: Plane
    """The slow fall of light from upper left to lower right over the whole figure."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A thing on a grid `factor` times finer than the image, within a window of the image."""

    thing: Thing
    shape: Shape
    rows: slice
    columns: slice
    factor: int
    pixel: float
    """Side of a fine pixel in the unit frame."""
    pieces: tuple[Piece, ...]
    silhouette: Plane
    """Distance to the whole, exact near its edge."""

    def width(self, pixels: float) -> float:
        """A length of so many pixels of a 128-pixel frame, in the unit frame."""
        return pixels / _REFERENCE / (self.thing.size / 2)


def figure(thing: Thing, size: int, factor: int, wobble: float = 0.0, phase: float = 0.0) -> Figure:
    """Place a thing; `wobble` bends it by so many frame lengths in slow waves."""
    reach = thing.size / 2 + _MARGIN
    rows = _window(thing.y, reach, size)
    columns = _window(thing.x, reach, size)
    fine = axis(size * factor)
    scale = np.float32(2 / thing.size)
    across = (fine[columns.start * factor : columns.stop * factor] - np.float32(thing.x)) * scale
    upward = (np.float32(thing.y) - fine[rows.start * factor : rows.stop * factor]) * scale
    x, y = np.meshgrid(across, upward)
    if wobble:
        bend = np.float32(wobble * 2 / thing.size)
        x = x + bend * np.sin(upward * np.float32(4.1) + np.float32(phase))[:, None]
        x += bend * np.float32(0.5) * np.sin(upward * np.float32(9.3) - np.float32(phase))[:, None]
        y = y + bend * np.sin(across * np.float32(4.7) + np.float32(2 * phase))[None, :]
    shape = SHAPES[thing.kind]
    pixel = float(scale) / (size * factor)
    margin = _OUTLINE / _REFERENCE * float(scale)
    pieces = tuple(_piece(part, x, y, margin, pixel) for part in shape.parts)
    silhouette = np.full_like(x, 2 * margin)
    for piece in pieces:
        near = silhouette[piece.area[1:]]
        np.minimum(near, piece.distance, out=near)
    return Figure(
        thing=thing,
        shape=shape,
        rows=rows,
        columns=columns,
        factor=factor,
        pixel=pixel,
        pieces=pieces,
        silhouette=silhouette,
    )


def _piece(part: Part, x: Plane, y: Plane, margin: float, pixel: float) -> Piece:
    """Evaluate a part only where a coarse look finds it within the margin."""
    stride = 8
    coarse = part.distance(x[::stride, ::stride], y[::stride, ::stride])
    near = coarse < np.float32(margin + 1.5 * stride * pixel)
    rows = _span(np.flatnonzero(near.sum(axis=1)), stride)
    columns = _span(np.flatnonzero(near.sum(axis=0)), stride)
    u, v = x[rows, columns], y[rows, columns]
    return Piece(
        part=part,
        area=(slice(None), rows, columns),
        distance=part.distance(u, v),
        sweep=(v - u) * np.float32(0.12),
    )


def _span(found: npt.NDArray[np.intp], stride: int) -> slice:
    if not len(found):
        return slice(0, 2)
    return slice(int(found[0]) * stride, int(found[-1] + 1) * stride)


def _window(centre: float, reach: float, size: int) -> slice:
    first = max(0, math.floor((centre - reach) * size))
    return slice(first, min(size, math.ceil((centre + reach) * size)))


def paint_figure(image: Plane, placed: Figure, painter: Callable[[Plane, Figure], None]) -> None:
    """Let the painter work on the figure's window of the image at the fine resolution."""
    window = enlarge(image[:, placed.rows, placed.columns], placed.factor)
    painter(window, placed)
    image[:, placed.rows, placed.columns] = shrink(window, placed.factor)


def light(placed: Figure, piece: Piece, puff: float) -> Plane:
    """Light on a surface that bulges over the width `puff` at its edge: about -0.8 to 1."""
    distance = piece.distance
    tilt = np.empty_like(distance)
    step = np.float32(0.5 / placed.pixel)
    tilt[:, 1:-1] = (distance[:, 2:] - distance[:, :-2]) * (step * np.float32(_LIGHT[0]))
    tilt[:, 0], tilt[:, -1] = tilt[:, 1], tilt[:, -2]
    rise = (distance[:-2] - distance[2:]) * (step * np.float32(_LIGHT[1]))
    tilt[1:-1] += rise
    tilt[0] += rise[0]
    tilt[-1] += rise[-1]
    slope = np.clip(distance * np.float32(1 / puff) + np.float32(1), 0, 1)
    tilt *= slope
    slope *= slope
    tilt += np.sqrt(np.float32(1) - slope) * np.float32(_LIGHT[2])
    tilt += piece.sweep
    return tilt


def ground_shadow(thing: Thing, size: int, lean: float = 0.06) -> Plane:
    """Distance, in frame lengths, to the ellipse that the thing shades on the ground."""
    shape = SHAPES[thing.kind]
    half = thing.size / 2
    foot = thing.y - shape.foot * half
    x = np.broadcast_to(axis(size)[None, :], (size, size))
    y = np.broadcast_to(axis(size)[:, None], (size, size))
    radius = shape.reach * half
    return ellipse(x, y, thing.x + lean * thing.size, foot, radius * 1.1, radius * 0.26)
