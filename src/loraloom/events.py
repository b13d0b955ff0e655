"""What a job yields while it works: plain data to print, to stream or to assert on."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened in a job."""

    def record(self) -> dict[str, Any]:
        """Return the event as JSON-ready data: its type in snake case, then its fields.

        A number that is not finite becomes None.
        """
        kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()
        fields = {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}
        return {"type": kind, **fields}


@dataclass(frozen=True, kw_only=True)
class Planned(Event):
    """What the job is about to do, before anything heavy is loaded."""

    job: str
    plan: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class PhaseStarted(Event):
    """A named part of the job begins; `total` counts its `Advanced` units, None where unknown."""

    phase: str
    total: int | None = None


@dataclass(frozen=True, kw_only=True)
class Advanced(Event):
    """`done` units of the current phase are finished."""

    phase: str
    done: int


@dataclass(frozen=True, kw_only=True)
class Stepped(Event):
    """One optimizer step: loss, learning rate and gradient norm of each adapter by name."""

    step: int
    total: int
    epoch: int
    losses: Mapping[str, float]
    learning_rates: Mapping[str, float]
    gradient_norms: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Sampled(Event):
    """A picture was written; `step` is the training step it shows, None outside training."""

    path: Path
    prompt: str
    seed: int
    step: int | None = None
    adapter: str | None = None


@dataclass(frozen=True, kw_only=True)
class Captioned(Event):
    """A caption file was written beside its picture."""

    path: Path
    caption: str


@dataclass(frozen=True, kw_only=True)
class Measured(Event):
    """A named figure of an evaluation, with how it was obtained."""

    name: str
    value: float
    detail: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, kw_only=True)
class Examined(Event):
    """Something was looked at; `report` is all that was found, as plain data."""

    report: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Saved(Event):
    """A file is complete on disk."""

    path: Path
    what: str
    step: int | None = None


@dataclass(frozen=True, kw_only=True)
class Warned(Event):
    """Something the user should know and can act on; worded in the catalogue by `code`.

    `severity` is "warning", or "note" for what asks for nothing; "error" for what was wrong with
    something that the job then left out.
    """

    code: str
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    severity: str = "warning"


@dataclass(frozen=True, kw_only=True)
class Finished(Event):
    """The job ended well; `interrupted` says that it was asked to stop and saved first."""

    job: str
    seconds: float
    interrupted: bool = False
    outputs: tuple[Path, ...] = ()


def _plain(value: Any) -> Any:
    match value:
        case Path():
            return str(value)
        case float() if not math.isfinite(value):
            return None  # JSON has no word for it.
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}  # pyright: ignore
        case tuple() | list():
            return [_plain(item) for item in value]  # pyright: ignore
        case None | str() | int() | float():
            return value
        case _:
            return str(value)
