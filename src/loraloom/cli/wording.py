"""Events as sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, final

from loraloom.cli.columns import table
from loraloom.cli.pace import Pace, Smoothed, clock
from loraloom.cli.session import Session
from loraloom.events import (
    Advanced,
    Captioned,
    Event,
    Measured,
    PhaseStarted,
    Planned,
    Sampled,
    Saved,
    Stepped,
    Warned,
)
from loraloom.text import catalogue

_NAMES_SHOWN = 3


def sentence(event: Event, session: Session) -> str | None:
    """Return what an event says for itself, None if it only moves progress."""
    match event:
        case Saved():
            return session.say("progress.saved", path=event.path, what=event.what)
        case Sampled():
            return session.say("progress.sampled", path=event.path, prompt=event.prompt)
        case Captioned():
            return session.say("progress.captioned", path=event.path, caption=event.caption)
        case Warned():
            return warned(event, session)
        case Measured():
            return f"{named('measured', event.name, session)}: {event.value:.4g}"
        case _:
            return None


def warned(event: Warned, session: Session) -> str:
    """Return a warning or a note with its severity and its code."""
    return session.say(
        "progress.warned",
        severity=session.say(f"check.{event.severity}"),
        code=event.code,
        text=session.say(event.code, **event.details),
    )


def plan_lines(event: Planned, session: Session) -> Iterator[str]:
    """Yield a plan as aligned lines."""
    yield named("job", event.job, session) + ":"
    yield from table(list(_plan_rows(event.plan, session)), indent="  ")


def named(kind: str, name: str, session: Session) -> str:
    """Return the catalogue's words for a job, a phase or a row of a plan, else its bare name.

    A name of two words, like `draw anime`, is worded by the first, with the rest put into it.
    """
    first, _, rest = name.partition(" ")
    code = f"{kind}.{first}"
    if code in catalogue(session.language):
        return session.say(code, name=rest)
    return name.replace("_", " ")


@final
class Course:
    """Describes steps and units done, remembering what means and the time left need.

    Times are given twice: `now` by a steady clock, `wall` as a timestamp of the day.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._steps = Pace()
        self._units = Pace()
        self._means = Smoothed()
        self._total: int | None = None
        self._done = 0

    def pause(self) -> None:
        """Say that the next step follows on something that is no step."""
        self._steps.pause()

    def phase(self, event: PhaseStarted, now: float) -> None:
        """Begin a phase."""
        self.pause()
        self._units = Pace()
        self._units.step(now)
        self._total, self._done = event.total, 0

    def units(self, event: Advanced, now: float, wall: float) -> str:
        """Return the time left in a phase, "" while it is not known."""
        self._units.step(now, event.done - self._done)
        self._done = event.done
        return self._left(self._units, (self._total or event.done) - event.done, wall)

    def step(self, event: Stepped, now: float, wall: float) -> str:
        """Return a step's time left, loss, speed, rate and epoch, apart from its number."""
        self._steps.step(now)
        say = self._session.say
        parts = [
            self._left(self._steps, event.total - event.step, wall),
            say("progress.loss", losses=self._losses(event.losses)),
            self._steps.speed,
            say("progress.rate", rates=_distinct(event.learning_rates)),
            say("progress.epoch", epoch=event.epoch),
        ]
        return " · ".join(part for part in parts if part)

    def _losses(self, losses: Mapping[str, float]) -> str:
        means = {name: self._means.add(name, value) for name, value in losses.items()}
        if len(means) == 1:
            return f"{next(iter(means.values())):.4f}"
        if len(means) <= _NAMES_SHOWN:
            return ", ".join(f"{name} {mean:.4f}" for name, mean in means.items())
        return f"{sum(means.values()) / len(means):.4f}"

    def _left(self, pace: Pace, steps: int, wall: float) -> str:
        seconds = pace.left(steps)
        if seconds is None or steps == 0:
            return ""
        until = datetime.fromtimestamp(wall + seconds).strftime("%H:%M")
        return self._session.say("progress.left", left=clock(seconds), until=until)


def _distinct(rates: Mapping[str, float]) -> str:
    return ", ".join(dict.fromkeys(_scientific(rate) for rate in rates.values()))


def _scientific(number: float) -> str:
    """Return 0.0001 as 1e-4, the way people write learning rates."""
    digits, _, exponent = f"{number:.1e}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(exponent)}"


def _plan_rows(plan: Mapping[str, Any], session: Session, depth: int = 0) -> Iterator[list[str]]:
    for name, value in plan.items():
        label = "  " * depth + named("plan", name, session)
        if name == "buckets":
            rows = [_bucket(each, session) for each in value]
            yield from ([label if number == 0 else "", row] for number, row in enumerate(rows))
        elif isinstance(value, Mapping):
            yield [label, ""]
            yield from _plan_rows(value, session, depth + 1)  # pyright: ignore[reportUnknownArgumentType]
        elif isinstance(value, list | tuple):
            for number, item in enumerate(value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
                if isinstance(item, Mapping):
                    yield [label, ""]
                    yield from _plan_rows(item, session, depth + 1)  # pyright: ignore[reportUnknownArgumentType]
                else:
                    yield [label if number == 0 else "", _plain(item)]
        elif value not in (None, ""):
            yield [label, _worded(name, value)]


def _worded(name: str, value: Any) -> str:
    """Return a value as people read it: numbers of bytes and of seconds are named so."""
    if name == "seed":
        return str(value)
    if name.endswith("bytes"):
        return f"{value / 2**20:,.1f} MiB"
    if name == "step_seconds":
        return f"{value:.3g} s"
    return clock(value) if name.endswith("seconds") else _plain(value)


def _bucket(bucket: Mapping[str, Any], session: Session) -> str:
    both = "plan.bucket_class" if bucket["images"] else "plan.bucket_class_only"
    return session.say(
        both if bucket["regularisation"] else "plan.bucket",
        regularisation=f"{bucket['regularisation']:,}",
        size="x".join(map(str, bucket["size"])),
        images=f"{bucket['images']:,}",
        batches=f"{bucket['batches']:,}",
        cut=f"{bucket['cut']:.0%}",
    )


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
