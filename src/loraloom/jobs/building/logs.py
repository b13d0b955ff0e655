"""The logs that training runs of the playground's networks leave behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def log_file(folder: Path, name: str) -> Path:
    """Return where a run writes its log, one JSON object per line."""
    return folder / f"{name}.log.jsonl"


def read_entries(log: Path) -> list[dict[str, Any]]:
    """Return the entries of a log, oldest first."""
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def write_entries(log: Path, entries: list[dict[str, Any]]) -> None:
    """Write a log anew."""
    log.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries), encoding="utf-8")
