"""What is in a picture of the playground: one or two things before a background."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from loraloom.errors import UsageError

OBJECTS: tuple[str, ...] = (
    "ball",
    "house",
    "tree",
    "fish",
    "flower",
    "car",
    "cat",
    "star",
    "heart",
    "mushroom",
    "moon",
    "boat",
)
COLOURS: tuple[str, ...] = (
    "red",
    "orange",
    "yellow",
    "green",
    "teal",
    "blue",
    "purple",
    "pink",
    "white",
)
BACKGROUNDS: tuple[str, ...] = ("meadow", "beach", "snow", "night", "sunset", "room")
SIZES: tuple[str, ...] = ("small", "medium", "large")
POSITIONS: tuple[str, ...] = ("left", "center", "right")

HEIGHTS = MappingProxyType({"small": 0.34, "medium": 0.5, "large": 0.68})
"""Height of a thing as a share of the frame."""
CENTRES = MappingProxyType({"left": 0.28, "center": 0.5, "right": 0.72})
"""Horizontal centre of a thing as a share of the frame."""
_PAIR_HEIGHT = 0.38
_EDGE = 0.06
_SINGLE_POSITION_CHANCES = (0.25, 0.5, 0.25)
_SIZE_CHANCES = (0.2, 0.4, 0.4)


@dataclass(frozen=True)
class Thing:
    """A coloured object; x, y is its centre and size its height, in shares of the frame, y down."""

    kind: str
    colour: str
    x: float
    y: float
    size: float


@dataclass(frozen=True)
class Scene:
    """A background and the things before it; the seed draws all that the caption does not say."""

    background: str
    things: tuple[Thing, ...]
    seed: int


def is_held_out(kind: str, colour: str, background: str) -> bool:
    """Whether this triple is kept from training; one in seven is, spread like a Latin square."""
    place = 5 * OBJECTS.index(kind) + 3 * COLOURS.index(colour) + BACKGROUNDS.index(background)
    return place % 7 == 0


def size_word(thing: Thing) -> str:
    """The member of SIZES whose height is nearest to that of the thing."""
    return min(SIZES, key=lambda word: abs(HEIGHTS[word] - thing.size))


def position_word(thing: Thing) -> str:
    """The member of POSITIONS whose centre is nearest to that of the thing."""
    return min(POSITIONS, key=lambda word: abs(CENTRES[word] - thing.x))


def sample_scene(
    generator: np.random.Generator,
    *,
    objects: Sequence[str] | None = None,
    colours: Sequence[str] | None = None,
    backgrounds: Sequence[str] | None = None,
    pair_share: float = 0.15,
    held_out: bool | None = None,
) -> Scene:
    """Draw a scene; `held_out` asks that every thing is (or is not) a held-out triple.

    A share `pair_share` of the scenes has two things, left and right, that differ in kind and in
    colour, unless the allowed words leave no second thing. Raises UsageError when no triple is
    allowed.
    """
    triples = _triples(
        OBJECTS if objects is None else tuple(objects),
        COLOURS if colours is None else tuple(colours),
        BACKGROUNDS if backgrounds is None else tuple(backgrounds),
        held_out,
    )
    if not triples:
        raise UsageError("playground.no_scene")
    kind, colour, background = triples[int(generator.integers(len(triples)))]
    seed = int(generator.integers(2**31))
    if generator.random() < pair_share:
        partners = [
            (other, hue)
            for other, hue, place in triples
            if place == background and other != kind and hue != colour
        ]
        if partners:
            second = partners[int(generator.integers(len(partners)))]
            pair = ((kind, colour), second)
            things = tuple(
                _placed(generator, *named, _PAIR_HEIGHT, CENTRES[side])
                for named, side in zip(pair, ("left", "right"), strict=True)
            )
            return Scene(background, things, seed)
    size = SIZES[int(generator.choice(len(SIZES), p=_SIZE_CHANCES))]
    side = "center"
    if size != "large":
        side = POSITIONS[int(generator.choice(len(POSITIONS), p=_SINGLE_POSITION_CHANCES))]
    thing = _placed(generator, kind, colour, HEIGHTS[size], CENTRES[side])
    return Scene(background, (thing,), seed)


@lru_cache(maxsize=64)
def _triples(
    objects: tuple[str, ...],
    colours: tuple[str, ...],
    backgrounds: tuple[str, ...],
    held_out: bool | None,
) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (kind, colour, background)
        for kind in objects
        for colour in colours
        for background in backgrounds
        if held_out is None or is_held_out(kind, colour, background) == held_out
    )


def _placed(
    generator: np.random.Generator, kind: str, colour: str, height: float, centre: float
) -> Thing:
    shift_x, shift_y, stretch = generator.uniform(-1.0, 1.0, 3)
    size = height * (1.0 + 0.05 * float(stretch))
    room = size / 2 + _EDGE
    # The larger a thing, the nearer it stands: its foot is lower in the frame.
    foot = 0.72 + 0.23 * size
    return Thing(
        kind=kind,
        colour=colour,
        x=min(max(centre + 0.025 * float(shift_x), room), 1.0 - room),
        y=foot - size / 2 + 0.015 * float(shift_y),
        size=size,
    )
