"""Lettering: text set into lines of a given width, in a font that has its letters."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeAlias, final

from PIL import Image, ImageDraw, ImageFont

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

_LEADING: Final = 1.3
_JOINT: Final = re.compile(r"(?<=[_\-./:,+])")
_NOT_A_LETTER: Final = "\U0010ffff"
_WIDE_FONTS: Final = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansKR-Regular.otf",
    "NotoSansKR-Regular.ttf",
    "NotoSansKR-VF.ttf",
    "NotoSansKR[wght].ttf",
    "Pretendard-Regular.otf",
    "NanumGothic.ttf",
    "malgun.ttf",
    "AppleSDGothicNeo.ttc",
    "UnDotum.ttf",
    "DejaVuSans.ttf",
)
"""Files of fonts that are often installed and have Korean or other letters beyond Latin."""


@final
@dataclass(frozen=True)
class Line:
    """One line of text with its font, and its width and height in pixels."""

    text: str
    font: Font
    width: float
    height: int

    def draw(self, draw: ImageDraw.ImageDraw, x: float, y: float, colour: str) -> None:
        """Draw it with its upper left corner at (x, y)."""
        draw.text((x, y), self.text, fill=colour, font=self.font)


def set_lines(text: str, size: int, width: float) -> tuple[Line, ...]:
    """Break a text into lines no wider than `width` pixels, at blanks or else inside a word."""
    font = _font_for(text, size)
    broken = [line for part in text.split("\n") for line in _broken(part.split(), font, width)]
    # Fonts with large letters reach below the usual line.
    reach = max((font.getbbox(line)[3] for line in broken), default=0)
    height = max(round(size * _LEADING), round(reach + size * (_LEADING - 1)))
    return tuple(Line(line, font, font.getlength(line), height) for line in broken)


def missing_letters(text: str) -> str:
    """Return the letters of a text that no font at hand can draw, each once."""
    return "".join(_missing(_font_for(text, 16), text))


def _broken(words: Sequence[str], font: Font, width: float) -> Iterator[str]:
    line = ""
    for word in words:
        longer = f"{line} {word}" if line else word
        if font.getlength(longer) <= width:
            line = longer
            continue
        if line:
            yield line
        *full, line = _pieces(word, font, width)
        yield from full
    if line:
        yield line


def _pieces(word: str, font: Font, width: float) -> list[str]:
    """Break a word that is too wide for a line: after a joint like `_`, or else at any letter."""
    pieces = [""]
    for part in _JOINT.split(word):
        for unit in [part] if font.getlength(part) <= width else part:
            if pieces[-1] and font.getlength(pieces[-1] + unit) > width:
                pieces.append("")
            pieces[-1] += unit
    return pieces


def _font_for(text: str, size: int) -> Font:
    """Return Pillow's own font, or an installed one that has more of the text's letters."""
    own = ImageFont.load_default(size)
    lacking = _missing(own, text)
    if not lacking:
        return own
    fonts = [own, *_installed(size)]
    return min(fonts, key=lambda font: len(_missing(font, text)))


def _missing(font: Font, text: str) -> list[str]:
    """Return the letters that a font draws as it draws what is no letter at all."""
    blank = _shape(font, _NOT_A_LETTER)
    letters = dict.fromkeys(letter for letter in text if not letter.isspace())
    return [letter for letter in letters if _shape(font, letter) == blank]


def _shape(font: Font, letter: str) -> tuple[float, bytes]:
    """Return how far a letter reaches and how it looks."""
    width = font.getlength(letter)
    _, _, right, bottom = font.getbbox(letter)
    canvas = Image.new("L", (max(1, math.ceil(right)), max(1, math.ceil(bottom))))
    ImageDraw.Draw(canvas).text((0, 0), letter, fill=255, font=font)
    return width, canvas.tobytes()


@cache
def _installed(size: int) -> tuple[Font, ...]:
    found: list[Font] = []
    for name in _WIDE_FONTS:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:
            continue
    return tuple(found)
