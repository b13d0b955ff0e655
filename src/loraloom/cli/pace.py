"""How fast steps go, and when the last one will be done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

_MEMORY = 0.9
_LOSS_MEMORY = 0.95


@dataclass
@final
class Pace:
    """A running mean of the seconds per step; what lies between steps is not counted as one."""

    _seconds: float | None = None
    _last: float | None = None
    _marks: int = field(default=0)

    def pause(self) -> None:
        """Say that something other than a step happened, such as drawing or saving."""
        self._last = None

    def step(self, now: float, steps: int = 1) -> None:
        """Say that `steps` were finished by now, in seconds of a steady clock."""
        if self._last is not None and steps > 0:
            seconds = (now - self._last) / steps
            self._marks += 1
            # The first steps allocate and compile; they would mislead for long.
            early = self._seconds is None or self._marks <= 2
            old = seconds if early else self._seconds
            self._seconds = _MEMORY * (old or 0.0) + (1 - _MEMORY) * seconds
        self._last = now

    @property
    def speed(self) -> str:
        """Steps per second, or seconds per step where that is the larger number; "" at first."""
        if not self._seconds:
            return ""
        return f"{1 / self._seconds:.1f} it/s" if self._seconds < 1 else f"{self._seconds:.1f} s/it"

    def left(self, steps: int) -> float | None:
        """Return the seconds that this many more steps will take; None while not known."""
        return None if self._seconds is None else steps * self._seconds


@dataclass
@final
class Smoothed:
    """A running mean per name."""

    means: dict[str, float] = field(default_factory=dict[str, float])

    def add(self, name: str, value: float) -> float:
        """Return the mean of a name with one more value."""
        old = self.means.get(name, value)
        self.means[name] = _LOSS_MEMORY * old + (1 - _LOSS_MEMORY) * value
        return self.means[name]


def clock(seconds: float) -> str:
    """Return a duration as h:mm:ss or m:ss."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    tail = f"{whole % 60:02}"
    return f"{hours}:{minutes:02}:{tail}" if hours else f"{minutes}:{tail}"
