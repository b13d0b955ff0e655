"""Which named parts make which kind of adapter, told from shapes alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, TypeAlias, final

from loraloom.formats.rearrangement import Settings, Shape

Shapes: TypeAlias = Mapping[str, Shape]
Claimed: TypeAlias = tuple[int | None, ...]

MAGNITUDE: Final = "magnitude"
VECTORS: Final = frozenset({MAGNITUDE, "diff", "scale", "rescale"})
"""The parts that may have one dimension; all others are matrices at least."""


@final
@dataclass(frozen=True, kw_only=True)
class Layout:
    """The parts of one kind, by the names its class gives them, and what their shapes tell.

    `forms` are the sets of parts that may occur; `stems` are the words by which endings of names
    tell equal parts apart. `rank` and `weight` give the rank of the factors and the shape of the
    weight they update, `fits` whether shapes are this kind's where another has the same parts.

    `rows` are the parts whose given dimension runs along the weight's rows; None where a delta
    cannot be cut into rows. `groups` are those of which a number stands for several rows: good
    enough to exchange the rows' halves.
    """

    kind: str
    stems: tuple[str, ...]
    forms: tuple[frozenset[str], ...]
    weight: Callable[[Shapes, Settings], Claimed]
    rank: Callable[[Shapes], int | None] = lambda shapes: None
    fits: Callable[[Shapes], bool] = lambda shapes: True
    rows: Callable[[Shapes, Settings], Mapping[str, int] | None] = lambda shapes, settings: None
    groups: tuple[str, ...] = ()
    has_scale: bool = False
    is_bounded: bool = False
    """Whether an alpha is no scale but the bound of a rotation."""

    def is_of(self, stem: str, shapes: Shapes) -> bool:
        """Whether these are the parts of this kind, no more and no fewer."""
        return stem in self.stems and frozenset(shapes) in self.forms and self.fits(shapes)

    def halved(self, shapes: Shapes, settings: Settings) -> Mapping[str, int]:
        """Return the parts, and their dimensions, whose halves are those of the weight's rows.

        Empty if exchanging halves cannot be done in this kind, or not of these shapes.
        """
        axes = self.rows(shapes, settings)
        if axes is None:
            axes = {part: 0 for part in self.groups if part in shapes}
        return {} if any(shapes[part][axis] % 2 for part, axis in axes.items()) else axes


def _forms(*needed: str, optional: str = "") -> tuple[frozenset[str], ...]:
    """Return the sets of parts: each of `needed`, with the `optional` ones or without."""
    forms = [frozenset(each.split()) for each in needed]
    with_optional = [form | frozenset(optional.split()) for form in forms]
    return tuple(dict.fromkeys((*forms, *with_optional)))


def _lora_weight(shapes: Shapes, settings: Settings) -> Claimed:
    kernel = shapes.get("mid", shapes["down"])[2:]
    return (shapes["up"][0], shapes["down"][1], *kernel)


def _loha_weight(shapes: Shapes, settings: Settings) -> Claimed:
    if "t1" in shapes:
        return (shapes["w1_a"][1], shapes["w1_b"][1], *shapes["t1"][2:])
    return (shapes["w1_a"][0], *shapes["w1_b"][1:])


def _loha_rows(shapes: Shapes, settings: Settings) -> Mapping[str, int]:
    axis = 1 if "t1" in shapes else 0
    return {"w1_a": axis, "w2_a": axis}


def _lokr_weight(shapes: Shapes, settings: Settings) -> Claimed:
    a, c = shapes["w1"][:2] if "w1" in shapes else (shapes["w1_a"][0], shapes["w1_b"][1])
    if "w2" in shapes:
        b, d, *kernel = shapes["w2"]
    elif "t2" in shapes:
        b, d, *kernel = shapes["w2_a"][1], shapes["w2_b"][1], *shapes["t2"][2:]
    else:
        b, d, *kernel = shapes["w2_a"][0], *shapes["w2_b"][1:]
    return (a * b, c * d, *kernel)


def _lokr_rank(shapes: Shapes) -> int | None:
    inner = shapes.get("w2_b", shapes.get("w1_b"))
    return None if inner is None else inner[0]


def _turned(channels: Callable[[Shapes], int]) -> Callable[[Shapes, Settings], Claimed]:
    """Return the weight of a rotation: the rotated side, and the rows if each has a factor."""

    def weight(shapes: Shapes, settings: Settings) -> Claimed:
        width = None if settings.get("shared") else channels(shapes)
        if settings.get("side") != "input":
            return (width, None)
        return (math.prod(shapes["rescale"]) if "rescale" in shapes else None, width)

    return weight


def _glora_is_swapped(shapes: Shapes) -> bool:
    """Whether the names of each pair are the other way round, as LyCORIS once had them."""
    return shapes["a1"][0] < shapes["a1"][1]


def _glora_weight(shapes: Shapes, settings: Settings) -> Claimed:
    up, down = ("b2", "b1") if _glora_is_swapped(shapes) else ("b1", "b2")
    return (shapes[up][0], *shapes[down][1:])


def _decomposed(layout: Layout, kind: str) -> Layout:
    """Return the layout of a kind with a magnitude (DoRA) around it."""

    def rows(shapes: Shapes, settings: Settings) -> Mapping[str, int] | None:
        inner = layout.rows(shapes, settings)
        if inner is None or settings.get("axis") == "input":
            return None
        return {**inner, MAGNITUDE: 0}

    forms = tuple(form | {MAGNITUDE} for form in layout.forms)
    return replace(layout, kind=kind, forms=forms, rows=rows, groups=())


_LORA: Final = Layout(
    kind="lora",
    stems=("lora",),
    forms=_forms("down up", optional="mid"),
    weight=_lora_weight,
    rank=lambda shapes: shapes["down"][0],
    rows=lambda shapes, settings: {"up": 0},
    has_scale=True,
)
_LOHA: Final = Layout(
    kind="loha",
    stems=("loha",),
    forms=_forms("w1_a w1_b w2_a w2_b", optional="t1 t2"),
    weight=_loha_weight,
    rank=lambda shapes: shapes["w1_b"][0],
    rows=_loha_rows,
    has_scale=True,
)
_LOKR: Final = Layout(
    kind="lokr",
    stems=("lokr",),
    forms=tuple(
        frozenset(f"{first} {second}".split())
        for first in ("w1", "w1_a w1_b")
        for second in ("w2", "w2_a w2_b", "w2_a w2_b t2")
    ),
    weight=_lokr_weight,
    rank=_lokr_rank,
    groups=("w1", "w1_a"),
    has_scale=True,
)

LAYOUTS: Final[tuple[Layout, ...]] = (
    _LORA,
    _LOHA,
    _LOKR,
    _decomposed(_LORA, "dora"),
    _decomposed(_LOHA, "doha"),
    _decomposed(_LOKR, "dokr"),
    Layout(
        kind="full",
        stems=("full",),
        forms=_forms("diff"),
        weight=lambda shapes, settings: shapes["diff"],
        rows=lambda shapes, settings: {"diff": 0},
    ),
    Layout(
        kind="ia3",
        stems=("ia3",),
        forms=_forms("scale"),
        weight=lambda shapes, settings: (
            (None, math.prod(shapes["scale"]))
            if settings.get("on_input")
            else (math.prod(shapes["scale"]), None)
        ),
        rows=lambda shapes, settings: {} if settings.get("on_input") else {"scale": 0},
    ),
    Layout(
        kind="oft",
        stems=("oft",),
        forms=_forms("blocks", optional="rescale"),
        fits=lambda shapes: len(shapes["blocks"]) == 3,
        weight=_turned(lambda shapes: shapes["blocks"][0] * shapes["blocks"][1]),
        is_bounded=True,
    ),
    Layout(
        kind="boft",
        stems=("boft", "oft"),
        forms=_forms("blocks", optional="rescale"),
        fits=lambda shapes: len(shapes["blocks"]) == 4,
        weight=_turned(lambda shapes: shapes["blocks"][1] * shapes["blocks"][2]),
        is_bounded=True,
    ),
    Layout(
        kind="glora",
        stems=("glora",),
        forms=_forms("a1 a2 b1 b2"),
        weight=_glora_weight,
        rank=lambda shapes: min(shapes["a1"][:2]),
        has_scale=True,
    ),
)
LAYOUT_OF: Final[Mapping[str, Layout]] = MappingProxyType({each.kind: each for each in LAYOUTS})


def layout_of(stem: str, shapes: Shapes) -> Layout | None:
    """Return the one layout that these parts fit."""
    return next((layout for layout in LAYOUTS if layout.is_of(stem, shapes)), None)
