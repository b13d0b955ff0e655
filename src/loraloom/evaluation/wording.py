"""How figures are written for people: shares, counts, sizes, durations, tiny numbers."""

from __future__ import annotations

import math
from typing import Final

from loraloom.text import say

_SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MINUS: Final = "\N{MINUS SIGN}"


def percent(share: float, digits: int = 0) -> str:
    """Return 0.917 as "92%"; only exactly 0 and 1 are written as 0% and 100%."""
    text = f"{100 * share:.{digits}f}"
    if float(text) in (0, 100) and share not in (0, 1):
        return percent(share, digits + 1)
    return f"{text.replace('-', _MINUS)}%"


def count(number: int) -> str:
    """Return 65536 as "65,536"."""
    return f"{number:,}"


def number(value: float) -> str:
    """Return a value in as few digits as tell it apart: 0.5, 16, 0.0001."""
    return f"{value:.6f}".rstrip("0").rstrip(".") if abs(value) >= 1e-4 else scientific(value)


def scientific(value: float) -> str:
    """Return 1.34e-15 as "1.3 × 10⁻¹⁵"."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    power = str(int(exponent)).translate(_SUPERSCRIPTS)
    return f"{mantissa.removesuffix('.0').replace('-', _MINUS)} × 10{power}"


def size(number_of_bytes: int) -> str:
    """Return a size in decimal units: "812 B", "1.9 MB"."""
    if number_of_bytes < 1000:
        return f"{number_of_bytes} B"
    power = min(int(math.log10(number_of_bytes) / 3), 3)
    value = number_of_bytes / 1000**power
    unit = ("B", "kB", "MB", "GB")[power]
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def duration(seconds: float, language: str) -> str:
    """Return a duration in the words of `language`: "4 min 12 s", "0.8 s"."""
    if seconds < 9.95:
        return say("report.seconds", language, seconds=f"{seconds:.1f}")
    if seconds < 59.5:
        return say("report.seconds", language, seconds=f"{seconds:.0f}")
    minutes, rest = divmod(round(seconds), 60)
    return say("report.minutes", language, minutes=minutes, seconds=rest)
