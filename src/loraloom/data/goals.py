"""How many pictures it takes to teach what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A kind of thing to teach: fewer than `least` pictures hardly do, `low` to `high` are best.

    Beyond `many` more pictures only take more time.
    """

    name: str
    least: int
    low: int
    high: int
    many: int


# As guides to LoRA training advise: a character from 15 pictures, best 50 to 100; a concept from
# 30, best 100 to 200; a style from 20, and best 80 to 100 for it to hold on any subject.
GOALS: Final[Mapping[str, Goal]] = MappingProxyType(
    {
        goal.name: goal
        for goal in (
            Goal(name="style", least=20, low=80, high=100, many=300),
            Goal(name="character", least=15, low=50, high=100, many=300),
            Goal(name="concept", least=30, low=100, high=200, many=600),
        )
    }
)
