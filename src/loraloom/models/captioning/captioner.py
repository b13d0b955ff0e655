"""What every captioner does, and how it is told to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from PIL import Image


@final
@dataclass(frozen=True, kw_only=True)
class Wording:
    """How sentences are searched for; lengths in tokens, 1 beam being greedy."""

    num_beams: int = 1
    min_length: int = 5
    max_length: int = 75


@final
@dataclass(frozen=True, kw_only=True)
class Tagging:
    """Which tags are named: those at least so probable, without the undesired ones, joined."""

    general_threshold: float = 0.35
    character_threshold: float = 0.35
    undesired_tags: frozenset[str] = frozenset()
    remove_underscore: bool = False
    separator: str = ", "


class AbstractCaptioner(ABC):
    """Says what pictures show."""

    @abstractmethod
    def describe(self, pictures: Sequence[Image.Image]) -> list[str]:
        """Return one caption per picture in RGB, of any sizes; "" where nothing can be said."""
