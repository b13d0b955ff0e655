"""What the events of a job come to: a log of them as JSON, and one result."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final, final

from loraloom.cli.plain_data import dumps, error_record
from loraloom.cli.session import Session, Stream
from loraloom.errors import LoraLoomError, OutputError
from loraloom.events import (
    Captioned,
    Event,
    Examined,
    Finished,
    Measured,
    Planned,
    Sampled,
    Saved,
    Warned,
)

_START: Final = b'{"t": '
"""How every line of a log begins."""


@final
class EventLog:
    """Writes each event as a line of JSON with its time, to a file or to standard output."""

    def __init__(self, session: Session) -> None:
        self._language = session.language
        self._closing = ExitStack()
        self._stream: Stream | None = None
        if session.events == "-":
            self._stream = session.out
        elif session.events is not None:
            self._stream = self._closing.enter_context(_open(Path(session.events)))

    def write(self, event: Event) -> None:
        """Write one event."""
        self._line(event.record())

    def fail(self, error: LoraLoomError) -> None:
        """Write that an error ended the job."""
        self._line({"type": "error", **error_record(error, self._language)})

    def close(self) -> None:
        """Close the file."""
        self._closing.close()

    def _line(self, record: Mapping[str, Any]) -> None:
        if self._stream is not None:
            self._stream.write(dumps({"t": round(time.time(), 3), **record}) + "\n")
            self._stream.flush()


@final
class Tally:
    """Collects from events what a job came to."""

    def __init__(self) -> None:
        self.finished: Finished | None = None
        self.written: dict[Path, None] = {}
        self.report: Mapping[str, Any] = {}
        self.planned: Planned | None = None
        self._result: dict[str, Any] = {
            "job": None,
            "seconds": None,
            "interrupted": False,
            "outputs": [],
            "plan": None,
            "measured": {},
            "warnings": [],
        }

    def add(self, event: Event, session: Session) -> None:
        """Take one event in."""
        match event:
            case Planned() if self._result["plan"] is None:  # later ones are of jobs inside it
                self.planned = event
                self._result["job"] = event.job
                self._result["plan"] = event.record()["plan"]
            case Saved() | Sampled() | Captioned():
                self.written[event.path] = None
            case Measured():
                self._result["measured"][event.name] = event.value
            case Warned():
                message = session.say(event.code, **event.details)
                self._result["warnings"].append(
                    {"code": event.code, "severity": event.severity, "message": message}
                )
            case Examined():
                self.report = event.report
            case Finished():
                self.finished = event
                self.written |= dict.fromkeys(event.outputs)
                for name in ("job", "seconds", "interrupted"):
                    self._result[name] = getattr(event, name)
            case _:
                pass

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files that matter: those the job names at its end, else all it wrote."""
        return (self.finished.outputs if self.finished else ()) or tuple(self.written)

    def result(self) -> dict[str, Any]:
        """Return everything as one object."""
        return {**self._result, "outputs": [str(path) for path in self.outputs]}


def _open(path: Path) -> TextIOWrapper:
    try:
        if path.is_file() and not _is_log(path):
            raise OutputError("cli.events_foreign", path=path)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a", encoding="utf-8")
    except OSError as error:
        reason = error.strerror
        raise OutputError("cli.events_unwritable", path=path, reason=reason) from error


def _is_log(path: Path) -> bool:
    """Whether a file is one of events, or empty: to append to any other would damage it."""
    with path.open("rb") as file:
        return file.read(len(_START)) in (b"", _START)
