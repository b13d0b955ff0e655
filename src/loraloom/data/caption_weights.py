"""Weights inside captions: "(a:1.2)", as in the web UI's prompts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

_BRACKET: Final = 1.1
"""What a bracket without a number multiplies by; square ones divide."""

_PARTS: Final = re.compile(
    r"\\[\\()\[\]]"  # a sign that is meant as it stands
    r"|:\s*(?P<weight>[+-]?(?:\d+\.?\d*|\.\d+))\s*\)"
    r"|[()\[\]]"
    r"|\\|:|[^\\()\[\]:]+"
)


@dataclass
class _Piece:
    text: str
    weight: float = 1.0


def weighted_pieces(caption: str) -> Sequence[tuple[str, float]]:
    r"""Return the pieces of a caption and their weights; neighbours of one weight are one piece.

    (a) multiplies by 1.1, [a] divides by it, (a:1.2) multiplies by 1.2, and so on inside others; a
    bracket that is never closed reaches to the end; \( and the like are the signs themselves.
    Compared with kohya's trainer, library/strategy_base.py, which got it from the web UI.
    """
    pieces: list[_Piece] = []
    openings: dict[str, list[int]] = {"(": [], "[": []}

    def multiply(since: int, factor: float) -> None:
        for piece in pieces[since:]:
            piece.weight *= factor

    for part in _PARTS.finditer(caption):
        text = part[0]
        if len(text) == 2 and text[0] == "\\":
            pieces.append(_Piece(text[1]))
        elif text in openings:
            openings[text].append(len(pieces))
        elif part["weight"] is not None and openings["("]:
            multiply(openings["("].pop(), float(part["weight"]))
        elif text == ")" and openings["("]:
            multiply(openings["("].pop(), _BRACKET)
        elif text == "]" and openings["["]:
            multiply(openings["["].pop(), 1 / _BRACKET)
        else:
            pieces.append(_Piece(text))
    for since in openings["("]:
        multiply(since, _BRACKET)
    for since in openings["["]:
        multiply(since, 1 / _BRACKET)
    runs = groupby(pieces, key=lambda piece: piece.weight)
    return [("".join(piece.text for piece in run), weight) for weight, run in runs] or [("", 1.0)]
