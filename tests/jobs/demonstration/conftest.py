"""Running a part of the demonstration to its end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from loraloom.events import Event

Part = Generator[Event, None, Any]


@pytest.fixture
def finish() -> Callable[[Part], tuple[list[Event], Any]]:
    """Return a function: what a part yields, and what it returns."""

    def run(part: Part) -> tuple[list[Event], Any]:
        events: list[Event] = []
        while True:
            try:
                events.append(next(part))
            except StopIteration as end:
                return events, end.value

    return run
