"""Words that call more than one adapter, or nearly do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import final

_SHORTEST_NEAR = 4


@final
@dataclass(frozen=True, kw_only=True)
class TriggerClash:
    """Two adapters' triggers that are the same word, or so near that one may call the other."""

    adapters: tuple[str, str]
    words: tuple[str, str]

    @property
    def is_exact(self) -> bool:
        """Whether it is one word."""
        return self.words[0] == self.words[1]


def trigger_clashes(triggers: Mapping[str, Sequence[str]]) -> tuple[TriggerClash, ...]:
    """Return the clashes among adapters' triggers, given by adapter.

    Two are near if only case, spaces and punctuation tell them apart, if one begins with the other,
    or if one letter more, less or changed makes one of the other; words of fewer than four letters
    have no near ones.
    """
    return tuple(
        TriggerClash(adapters=(one, other), words=(word, rival))
        for one, other in combinations(triggers, 2)
        for word in triggers[one]
        for rival in triggers[other]
        if word == rival or _near(_bare(word), _bare(rival))
    )


def _bare(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())


def _near(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    if one == other:
        return short != ""
    if len(short) < _SHORTEST_NEAR:
        return False
    return long.startswith(short) or _one_letter_apart(short, long)


def _one_letter_apart(short: str, long: str) -> bool:
    if len(long) - len(short) > 1:
        return False
    same = next(
        (n for n, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short)
    )
    skip = 1 if len(short) == len(long) else 0
    return short[same + skip :] == long[same + 1 :]
