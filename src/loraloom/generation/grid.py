"""A labelled grid of pictures: what changes down the rows, and what across the columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, final

from PIL import Image, ImageDraw

from loraloom.generation.lettering import Line, set_lines

_PAPER: Final = "#ffffff"
_INK: Final = "#1f2328"
_GREY: Final = "#6e7781"
_LEAST_SIDE: Final = 192
_NARROWEST_LABEL: Final = 150


@final
@dataclass(frozen=True)
class Label:
    """What a row or a column shows, and a smaller note under it."""

    text: str
    note: str = ""


@final
@dataclass(frozen=True)
class _Measures:
    """Sizes in pixels, all in proportion to the pictures."""

    side: int
    gap: int
    margin: int
    text: int
    note: int

    @classmethod
    def of(cls, picture: Image.Image) -> _Measures:
        side = max(picture.size)
        return cls(
            side=side,
            gap=max(6, side // 40),
            margin=max(20, side // 12),
            text=min(max(14, side // 18), 30),
            note=min(max(12, side // 22), 24),
        )


@final
@dataclass(frozen=True)
class _Block:
    """A label set into lines."""

    lines: tuple[tuple[Line, str], ...]

    @classmethod
    def of(cls, label: Label, measures: _Measures, width: float) -> _Block:
        text = [(line, _INK) for line in set_lines(label.text, measures.text, width)]
        note = [(line, _GREY) for line in set_lines(label.note, measures.note, width)]
        return cls((*text, *note))

    @property
    def width(self) -> int:
        return math.ceil(max((line.width for line, _ in self.lines), default=0))

    @property
    def height(self) -> int:
        return sum(line.height for line, _ in self.lines)

    def draw(self, draw: ImageDraw.ImageDraw, x: float, y: float, centred_in: int = 0) -> None:
        for line, colour in self.lines:
            aside = (centred_in - line.width) / 2 if centred_in else 0
            line.draw(draw, x + aside, y, colour)
            y += line.height


def draw_grid(
    pictures: Sequence[Sequence[Image.Image]],
    rows: Sequence[Label],
    columns: Sequence[Label],
) -> Image.Image:
    """Return one picture of all, `pictures[row][column]`, which share a size.

    Labels are wrapped, never cut. Pictures smaller than 192 pixels are enlarged by a whole factor.
    """
    factor = max(1, math.ceil(_LEAST_SIDE / max(pictures[0][0].size)))
    cells = [[_enlarged(picture, factor) for picture in row] for row in pictures]
    width, height = cells[0][0].size
    measures = _Measures.of(cells[0][0])
    heads = [_Block.of(label, measures, width) for label in columns]
    sides = [_Block.of(label, measures, max(width * 0.8, _NARROWEST_LABEL)) for label in rows]
    left = max((side.width for side in sides), default=0)
    top = max((head.height for head in heads), default=0)
    # A lone word that no line can hold may be wider than the picture below it.
    across = max([width, *(head.width for head in heads)])
    first_x = measures.margin + (left + measures.gap * 2 if left else 0)
    first_y = measures.margin + (top + measures.gap if top else 0)
    heights = [max(height, side.height) + measures.gap for side in sides]
    tops = [first_y, *accumulate(heights, initial=first_y)][1:]
    size = (
        first_x + len(columns) * (across + measures.gap) - measures.gap + measures.margin,
        tops[-1] - measures.gap + measures.margin,
    )
    canvas = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(canvas)
    for number, head in enumerate(heads):
        x = first_x + number * (across + measures.gap)
        head.draw(draw, x, measures.margin + top - head.height, centred_in=across)
    for y, side, row, full in zip(tops, sides, cells, heights, strict=False):
        inner = full - measures.gap
        side.draw(draw, measures.margin, y + (inner - side.height) / 2)
        for number, picture in enumerate(row):
            x = first_x + number * (across + measures.gap) + (across - width) // 2
            canvas.paste(picture, (x, y + (inner - height) // 2))
    return canvas


def _enlarged(picture: Image.Image, factor: int) -> Image.Image:
    if factor == 1:
        return picture
    size = (picture.width * factor, picture.height * factor)
    return picture.resize(size, Image.Resampling.LANCZOS)
