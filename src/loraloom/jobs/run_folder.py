"""The folder of everything about a run that is not an adapter file."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import SEEK_END, FileIO
from pathlib import Path
from typing import Any, Final

from loraloom.errors import LoraLoomError, OutputError
from loraloom.events import Event
from loraloom.formats.atomic import write_files
from loraloom.formats.obstacle import unwritable

_LOG: Final = "events.jsonl"


def create_run_folder(folder: Path, recipe: str) -> None:
    """Make the folder with the resolved recipe and an empty log, both or nothing.

    What cannot be written is an `OutputError`. What an earlier run left in the folder stays but
    for these two.
    """
    contents = {"recipe.toml": recipe.encode(), _LOG: b""}
    write_files({folder / name: content for name, content in contents.items()}, overwrite=True)


def recorded(folder: Path, events: Iterable[Event]) -> Iterator[Event]:
    """Pass events on, each written to the run's `events.jsonl` first, and an error that ends them.

    A log that cannot be written is an `OutputError`; errors of the job itself pass as they are.
    """
    path = folder / _LOG
    with _telling(path):
        log = path.open("ab", buffering=0)
    with log:
        try:
            for event in events:
                _append(log, path, event.record())
                yield event
        except LoraLoomError as error:
            with suppress(OutputError):  # The error at hand matters more.
                record = {"type": "error", "code": error.code, "message": str(error)}
                _append(log, path, record)
            raise


def _append(log: FileIO, path: Path, record: Mapping[str, Any]) -> None:
    """Write one line of JSON with its time, whole or not at all."""
    line = {"t": datetime.now(UTC).isoformat(timespec="milliseconds"), **record}
    rest = memoryview(f"{json.dumps(line, ensure_ascii=False, allow_nan=False)}\n".encode())
    with _telling(path):
        start = log.seek(0, SEEK_END)
        try:
            while rest:
                rest = rest[log.write(rest) :]
        except OSError:
            log.truncate(start)
            raise


@contextmanager
def _telling(path: Path) -> Generator[None]:
    """Turn the system's refusal to write into our error, and no other failure."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error
