"""PEFT's patterns: numbers for those modules whose names a regular expression fits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Final, TypeVar

from loraloom.adapters.site import Site
from loraloom.errors import ModelError
from loraloom.formats.excerpt import shown

Number = TypeVar("Number", int, float)
Patterns = Mapping[re.Pattern[str], float]

# A pattern comes from a file and must not be able to search for ever: matching takes a time that
# grows with the power of its repetitions.
_MOST_REPETITIONS: Final = 3
_LONGEST: Final = 1000
_MOST_PATTERNS: Final = 10_000
_MOST_STEPS: Final = 300_000_000
_STEPS_OF_A_CALL: Final = 60
_REPETITION: Final = re.compile(r"[*+?{]")
_REPEATED_GROUP: Final = re.compile(r"\)[*+?{]")


def compiled(
    patterns: Mapping[str, float], modules: Collection[str], where: str, *, whole: bool = False
) -> Patterns:
    """Compile patterns the way PEFT's `get_pattern_key` matches them, for matching `modules`.

    A pattern may fit the end of a name; with `whole` it has to fit all of it. What is broken, or
    could take for ever, is a `ModelError`.
    """
    if len(patterns) > _MOST_PATTERNS:
        raise ModelError("format.patterns", where=where, count=len(patterns), most=_MOST_PATTERNS)
    found: dict[re.Pattern[str], float] = {}
    longest, steps = max(map(len, modules), default=0), 0
    for text, number in patterns.items():
        repetitions = len(_REPETITION.findall(text))
        steps += len(modules) * (_STEPS_OF_A_CALL + longest**repetitions)
        endless = repetitions > _MOST_REPETITIONS or len(text) > _LONGEST or steps > _MOST_STEPS
        if endless or _REPEATED_GROUP.search(text):
            raise ModelError("format.pattern", where=where, pattern=shown(text))
        try:
            start = "" if whole else r"(.*\.)?"
            found[re.compile(rf"{start}({text})$")] = number
        except (re.error, RecursionError, OverflowError) as error:
            raise ModelError("format.pattern", where=where, pattern=shown(text)) from error
    return found


def look_up(patterns: Patterns, site: Site, otherwise: float) -> float:
    """Return the number of the first pattern that fits the module under one of its live names."""
    for pattern, number in patterns.items():
        if any(pattern.match(module) for module in site.live_modules()):
            return number
    return otherwise


def shortest(site: Site) -> str:
    """Return the spelling that, as a pattern, fits the module under all its live names."""
    *_, last = site.live_modules()
    return last


def most_common(numbers: Iterable[Number]) -> Number:
    """Return the number that occurs most often, the first of several."""
    return Counter(numbers).most_common(1)[0][0]


def whole(number: float) -> float:
    """Return a whole number as the integer that PEFT declares."""
    return int(number) if number.is_integer() else number
