"""A table of cosines as a picture: red where changes add up, blue where they undo each other."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw

from loraloom.formats.atomic import write_files
from loraloom.generation.lettering import Line, set_lines

_CELL: Final = (120, 28)
_LABEL: Final = 260
_SIZE: Final = 13
_GAP: Final = 8
_NONE: Final = (225, 225, 225)
_ENDS: Final = ((38, 84, 156), (178, 34, 44))


def write_heat_map(
    path: Path,
    rows: Mapping[str, Sequence[float | None]],
    columns: Sequence[str],
    *,
    overwrite: bool = False,
) -> None:
    """Write a PNG with a cell per row and column; None is grey."""
    file = io.BytesIO()
    draw_heat_map(rows, columns).save(file, format="PNG")
    write_files({path: file.getvalue()}, overwrite=overwrite)


def draw_heat_map(
    rows: Mapping[str, Sequence[float | None]], columns: Sequence[str]
) -> Image.Image:
    """Draw the cells, each with its number, under the columns' names and beside the rows'."""
    width, height = _CELL
    heads = [set_lines(name, _SIZE, width - _GAP) for name in columns]
    top = max((sum(line.height for line in lines) for lines in heads), default=0) + 2 * _GAP
    picture = Image.new(
        "RGB", (_LABEL + width * len(columns) + _GAP, top + height * len(rows) + _GAP), "white"
    )
    draw = ImageDraw.Draw(picture)
    for number, lines in enumerate(heads):
        _write(draw, lines, _LABEL + number * width + _GAP / 2, _GAP, "black")
    for line, (name, cosines) in enumerate(rows.items()):
        y = top + line * height
        _write(draw, set_lines(name, _SIZE, _LABEL - 2 * _GAP)[:1], _GAP, y + _GAP / 2, "black")
        for number, cosine in enumerate(cosines):
            x = _LABEL + number * width
            box = (x, y, x + width - 2, y + height - 2)
            draw.rectangle(box, fill=colour(cosine))
            if cosine is not None:
                ink = "white" if abs(cosine) > 0.5 else "black"
                _write(draw, set_lines(f"{cosine:+.2f}", _SIZE, width), x + _GAP, y + _GAP / 2, ink)
    return picture


def colour(cosine: float | None) -> tuple[int, int, int]:
    """Return the colour of a cosine: white at 0, full red at 1, full blue at -1, grey for None."""
    if cosine is None:
        return _NONE
    share = min(1.0, abs(cosine))
    red, green, blue = (round(255 + (part - 255) * share) for part in _ENDS[1 if cosine > 0 else 0])
    return red, green, blue


def _write(draw: ImageDraw.ImageDraw, lines: Sequence[Line], x: float, y: float, ink: str) -> None:
    for line in lines:
        line.draw(draw, x, y, ink)
        y += line.height
