"""Comparing a replayed log with a shipped one."""

from __future__ import annotations

from pathlib import Path

from loraloom.errors import SetupError
from loraloom.jobs.building.logs import read_entries


def compare(replayed: Path, shipped: Path, steps: int) -> None:
    """Raise `SetupError` at the first of `steps` steps whose loss differs in its six digits."""
    expected, found = _losses(shipped), _losses(replayed)
    for step in range(steps):
        if expected.get(step) != found.get(step):
            raise SetupError(
                "playground.replay_differs",
                log=shipped.name,
                step=step,
                expected=expected.get(step),
                found=found.get(step),
            )


def _losses(log: Path) -> dict[int, float]:
    return {entry["step"]: entry["loss"] for entry in read_entries(log)}
