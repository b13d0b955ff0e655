"""How long each part of the demonstration takes."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import final

from loraloom.evaluation.report import Phase, PhaseName


@final
class Clock:
    """Adds up the seconds of named phases."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._seconds: dict[PhaseName, float] = {}

    @contextmanager
    def phase(self, name: PhaseName) -> Generator[None]:
        """Count the time inside the block for a phase."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.monotonic() - begun

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases so far, in the order they were first entered."""
        return tuple(Phase(name=name, seconds=spent) for name, spent in self._seconds.items())

    @property
    def seconds(self) -> float:
        """The time since the clock was made."""
        return time.monotonic() - self._started
