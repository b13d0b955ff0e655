"""The folder of everything about a run that is not an adapter file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from loraloom.errors import OutputError
from loraloom.events import Event


def create_run_folder(folder: Path, recipe: str) -> None:
    """Make the folder and write the resolved recipe; what cannot be written is an `OutputError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.toml").write_text(recipe, encoding="utf-8")
        (folder / "events.jsonl").write_text("", encoding="utf-8")
    except OSError as error:
        raise OutputError("output.unwritable", path=folder, reason=error) from error


def recorded(folder: Path, events: Iterable[Event]) -> Iterator[Event]:
    """Pass events on, each written to the run's `events.jsonl` first."""
    try:
        with (folder / "events.jsonl").open("a", encoding="utf-8") as file:
            for event in events:
                line = {"t": datetime.now(UTC).isoformat(timespec="milliseconds"), **event.record()}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                file.flush()
                yield event
    except OSError as error:
        raise OutputError("output.unwritable", path=folder, reason=error) from error
