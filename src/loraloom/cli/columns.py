"""Text in columns, where a Korean letter is two cells wide."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from loraloom.text.harmless import harmless

_PIECES = re.compile(r"\s+|[^\s]+")


def cells(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def padded(text: str, width: int) -> str:
    """Return the text filled with spaces to `width` cells."""
    return text + " " * max(0, width - cells(text))


def wrapped(text: str, width: int) -> Iterator[str]:
    """Yield lines of at most `width` cells, broken at spaces; a longer word has its own line."""
    line = ""
    for word in _PIECES.findall(text):
        if word.isspace():
            line += " " if line else ""
        elif line.strip() and cells(line) + cells(word) > width:
            yield line.rstrip()
            line = word
        else:
            line += word
    if line.strip():
        yield line.rstrip()


def table(rows: Sequence[Sequence[str]], *, indent: str = "", gap: int = 2) -> Iterator[str]:
    """Yield rows as lines, each column as wide as its widest cell, which is shown harmless."""
    rows = [[harmless(cell) for cell in row] for row in rows]
    if not rows:
        return
    widths = [max(cells(row[i]) for row in rows if i < len(row)) for i in range(len(rows[0]))]
    for row in rows:
        filled = [padded(cell, width) for cell, width in zip(row, widths, strict=False)]
        yield (indent + (" " * gap).join(filled)).rstrip()


def definitions(
    rows: Sequence[tuple[str, str]], *, width: int, indent: str = "  ", limit: int = 30
) -> Iterator[str]:
    """Yield terms with their explanations beside them; a term wider than `limit` stands above."""
    fitting = [cells(term) for term, _ in rows if cells(term) <= limit]
    column = len(indent) + max(fitting, default=0) + 2
    for term, text in rows:
        lines = list(wrapped(text, max(20, width - column)))
        if cells(term) > limit or not lines:
            yield indent + term
        else:
            yield padded(indent + term, column) + lines.pop(0)
        yield from (" " * column + line for line in lines)
