"""The grid: every picture whole and in its place, every label on the canvas."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from loraloom.generation.grid import Label, draw_grid
from loraloom.generation.lettering import missing_letters, set_lines

COLOURS = ("#ff0000", "#00ff00", "#0000ff", "#ffff00", "#00ffff", "#ff00ff")


def plain(colour: str, size: tuple[int, int] = (200, 240)) -> Image.Image:
    return Image.new("RGB", size, colour)


def boxes(grid: Image.Image) -> list[tuple[int, int, int, int]]:
    """Return where each colour lies: left, top, right, bottom; all its pixels fill the box."""
    pixels = np.asarray(grid)
    found: list[tuple[int, int, int, int]] = []
    for colour in COLOURS:
        wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        ys, xs = np.nonzero((pixels == wanted).all(-1))
        box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
        assert len(xs) == (box[2] - box[0]) * (box[3] - box[1])
        found.append(box)
    return found


LONG = "anistyle, a red house on a green hill under a blue sky with many small white clouds"


@pytest.mark.parametrize("text", ["base", LONG, "한 단어", "x" * 300, ""])
def test_pictures_are_whole_and_in_line(text: str) -> None:
    pictures = [[plain(colour) for colour in row] for row in (COLOURS[:3], COLOURS[3:])]
    labels = [Label(text), Label("two", "note"), Label("three")]
    grid = draw_grid(pictures, [Label(text, "seed 1"), Label("b")], labels)
    found = boxes(grid)
    assert all((right - left, low - top) == (200, 240) for left, top, right, low in found)
    for upper, lower in zip(found[:3], found[3:], strict=True):
        assert upper[0] == lower[0]
        assert upper[3] < lower[1]
    for row in (found[:3], found[3:]):
        assert len({box[1] for box in row}) == 1
        assert row[0][2] < row[1][0] < row[1][2] < row[2][0]
    pixels = np.asarray(grid)
    # Nothing is cut at the rim.
    assert all((rim == 255).all() for rim in (pixels[[0, -1]], pixels[:, [0, -1]]))


def test_small_pictures_are_enlarged_by_a_whole_factor() -> None:
    grid = draw_grid(
        [[plain(colour, (100, 50)) for colour in COLOURS]], [Label("")], [Label("")] * 6
    )
    assert all((right - left, low - top) == (200, 100) for left, top, right, low in boxes(grid))


@pytest.mark.parametrize("width", [40, 90, 300])
@pytest.mark.parametrize(
    "text", [LONG, "a_long_name_with_joints-v12", "초록 언덕 위의 빨간 집", "y" * 50]
)
def test_lines_keep_every_letter_and_the_width(text: str, width: int) -> None:
    lines = set_lines(text, 14, width)
    assert "".join(line.text for line in lines).replace(" ", "") == text.replace(" ", "")
    assert all(line.width <= width for line in lines)


def test_long_names_break_at_their_joints() -> None:
    first, *_ = set_lines("a_very_long_adapter_name_without_blanks", 14, 150)
    assert first.text.endswith("_")


def test_letters_that_no_font_has() -> None:
    assert missing_letters("plain letters 123") == ""
    assert missing_letters("a \U0010fffe b") == "\U0010fffe"
    assert draw_grid([[plain("red")]], [Label("\U0010fffe")], [Label("")]).width > 200
