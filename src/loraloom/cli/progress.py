"""Progress on standard error: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from typing import IO, Final, cast, final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from loraloom.cli.session import Session
from loraloom.cli.wording import Course, named, plan_lines, sentence
from loraloom.events import Advanced, Event, PhaseStarted, Planned, Stepped, Warned

_EVERY: Final = 5.0
"""Seconds between plain lines of progress."""

TRAINING: Final = "training"
"""The phase that steps belong to."""


class AbstractProgress(ABC):
    """Shows events to a person."""

    @abstractmethod
    def show(self, event: Event) -> None:
        """Show one event."""

    @abstractmethod
    def close(self) -> None:
        """Leave the terminal as it was."""


def progress_for(session: Session) -> AbstractProgress:
    """Return what fits the session's standard error."""
    if session.quiet:
        return QuietProgress(session)
    if session.err.isatty() and os.environ.get("TERM") != "dumb":
        return BarProgress(session)
    return PlainProgress(session)


@final
class QuietProgress(AbstractProgress):
    """Shows warnings only."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def show(self, event: Event) -> None:
        if isinstance(event, Warned):
            print(sentence(event, self._session), file=self._session.err, flush=True)

    def close(self) -> None:
        pass


@final
class PlainProgress(AbstractProgress):
    """Shows one line every few seconds, without moving the cursor: for logs and pipes."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._course = Course(session)
        self._totals: dict[str, int | None] = {}
        self._due = 0.0

    def show(self, event: Event) -> None:
        now, wall = time.monotonic(), time.time()
        match event:
            case Planned():
                self._print(*plan_lines(event, self._session))
            case Stepped():
                text = self._course.step(event, now, wall)
                if event.step in (1, event.total) or now >= self._due:
                    say = self._session.say
                    self._print(
                        f"{say('progress.step', step=event.step, total=event.total)} · {text}"
                    )
            case PhaseStarted():
                self._course.phase(event, now)
                self._totals[event.phase] = event.total
                if event.phase != TRAINING:
                    self._print(f"{named('phase', event.phase, self._session)} …")
            case Advanced():
                left = self._course.units(event, now, wall)
                if now >= self._due:
                    count = f"{event.done}/{self._totals.get(event.phase) or '?'}"
                    label = named("phase", event.phase, self._session)
                    self._print(" · ".join(filter(None, (f"{label} {count}", left))))
            case _:
                self._course.pause()
                if text := sentence(event, self._session):
                    self._print(text)

    def close(self) -> None:
        pass

    def _print(self, *lines: str) -> None:
        self._due = time.monotonic() + _EVERY
        print(*lines, sep="\n", file=self._session.err, flush=True)


@final
class BarProgress(AbstractProgress):
    """Shows a bar for what is going on; the rest scrolls by above it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._course = Course(session)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TextColumn(
                "{task.fields[info]}",
                style="dim",
                markup=False,
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
            console=Console(file=cast("IO[str]", session.err), highlight=False),
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._trained = False
        self._bars.start()

    def show(self, event: Event) -> None:
        now, wall = time.monotonic(), time.time()
        match event:
            case Planned():
                for line in plan_lines(event, self._session):
                    self._say(line)
            case Stepped():
                self._end_phases(besides=TRAINING)
                info = self._course.step(event, now, wall)
                task = self._task(TRAINING, event.total)
                self._bars.update(task, completed=event.step, total=event.total, info=info)
                self._trained = event.step >= event.total
            case PhaseStarted():
                self._course.phase(event, now)
                self._end_phases(besides="" if self._trained else TRAINING)
                self._task(event.phase, event.total)
            case Advanced():
                info = self._course.units(event, now, wall)
                self._bars.update(self._task(event.phase, None), completed=event.done, info=info)
            case _:
                self._course.pause()
                if text := sentence(event, self._session):
                    self._say(text, style="yellow" if isinstance(event, Warned) else "")

    def close(self) -> None:
        self._end_phases(besides=TRAINING)
        self._bars.stop()

    def _task(self, phase: str, total: int | None) -> TaskID:
        if phase not in self._tasks:
            description = named("phase", phase, self._session)
            self._tasks[phase] = self._bars.add_task(description, total=total, info="")
        return self._tasks[phase]

    def _end_phases(self, *, besides: str) -> None:
        """Take the bars of phases away; those that do not lie within training leave a line."""
        for phase in [name for name in self._tasks if name != besides]:
            if phase == TRAINING or TRAINING not in self._tasks:
                self._say(f"✓ {named('phase', phase, self._session)}", style="green")
            self._bars.remove_task(self._tasks.pop(phase))

    def _say(self, text: str, style: str = "") -> None:
        self._bars.console.print(Text(text, style=style), soft_wrap=True)
