"""Text out of files made fit to be shown: nothing in it can move a cursor or hide a word."""

from __future__ import annotations

import unicodedata
from typing import Final

_OBEYED: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control and formatting characters, those that turn the direction of writing among them, halves
of surrogate pairs, and Unicode's own line breaks."""
_JOINERS: Final = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Persian letters and emoji of several are made with them."""
_SPACES: Final = "\n\t"


def harmless(text: str, *, lines: bool = False) -> str:
    """Return a text with a replacement character for all that a terminal would obey.

    Tabs and line breaks become spaces; with `lines`, line breaks stay.
    """
    # Most texts are printable as they are, and told so much faster.
    if text.isprintable():
        return text
    return "".join(letter if letter == "\n" and lines else _shown(letter) for letter in text)


def is_obeyed(letter: str) -> bool:
    """Whether a terminal would do something at this letter, or show it in another place."""
    return unicodedata.category(letter) in _OBEYED and letter not in _JOINERS


def _shown(letter: str) -> str:
    if letter in _SPACES:
        return " "
    return "\N{REPLACEMENT CHARACTER}" if is_obeyed(letter) else letter
