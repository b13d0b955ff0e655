"""Names out of files, fit to be shown: few, short, and without control characters."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Final

_LONGEST: Final = 160


def shown(name: object) -> str:
    """Return a name as one short line; what a terminal would obey is replaced."""
    text = str(name)
    start = text[:_LONGEST]
    start = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in start
    )
    return start if len(text) <= _LONGEST else f"{start}… ({len(text)} characters)"


def excerpt(names: Collection[object], most: int = 4) -> str:
    """Return the first few names and how many more there are: `a, b (+7)`."""
    first = [shown(name) for name in islice(names, most)]
    rest = len(names) - len(first)
    return ", ".join(first) + (f" (+{rest})" if rest else "")
