"""What was written into a folder and from what, so that doing it again writes nothing anew."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final, Literal, final

from loraloom.errors import OutputError

Outcome = Literal["written", "unchanged", "edited"]

FILE: Final = "preprocess.jsonl"


@final
class Ledger:
    """The record of a folder: a line for each file that was made, with what it was made from.

    A line is written before its file, and the file appears whole or not at all, so that a start
    that was killed is taken up where it stopped, and no half-made file is taken for a whole one.
    Files that were changed by hand since, or that the record does not know, are never replaced.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE
        self._records = self._read()

    def check_empty(self) -> None:
        """Raise OutputError for a folder with things in it but no record."""
        if self._folder.is_dir() and not self._path.exists() and any(self._folder.iterdir()):
            raise OutputError("preprocess.not_ours", path=self._folder)

    def put(self, name: str, key: str, make: Callable[[], bytes]) -> Outcome:
        """See to it that a file is there, made from what `key` stands for.

        A file that exists and was neither made nor left by this record is an OutputError.
        """
        path = self._folder / name
        record = self._records.get(name)
        before = _hash(path.read_bytes()) if path.exists() else None
        if before is not None:
            if record is None:
                raise OutputError("preprocess.not_ours", path=path)
            if before not in (record["sha256"], record["before"]):
                return "edited"
            if before == record["sha256"] and record["key"] == key:
                return "unchanged"
        content = make()
        # What was there before is noted, for the program may be killed before it is replaced.
        self._note({"file": name, "key": key, "sha256": _hash(content), "before": before})
        self._write(path, content)
        return "written"

    def drop_others(self, names: Collection[str]) -> tuple[str, ...]:
        """Remove files of the record besides these, unless changed by hand; return their names."""
        dropped: list[str] = []
        for name in sorted(set(self._records) - set(names)):
            path = self._folder / name
            is_ours = path.exists() and _hash(path.read_bytes()) == self._records[name]["sha256"]
            if is_ours:
                path.unlink()
                dropped.append(name)
            self._note({"file": name, "removed": True})
        return tuple(dropped)

    def _read(self) -> dict[str, dict[str, Any]]:
        records: dict[str, dict[str, Any]] = {}
        if not self._path.exists():
            return records
        *lines, torn = self._path.read_text(encoding="utf-8", errors="replace").split("\n")
        if torn:
            # The last start was killed while it wrote this line, so its file was not written yet.
            self._write(self._path, "".join(f"{line}\n" for line in lines).encode())
        for line in lines:
            record: dict[str, Any] = json.loads(line)
            if record.pop("removed", False):
                records.pop(record["file"], None)
            else:
                records[record["file"]] = record
        return records

    def _note(self, record: dict[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=False) + "\n"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise OutputError("output.unwritable", path=self._path, reason=error) from error
        if record.get("removed"):
            self._records.pop(record["file"], None)
        else:
            self._records[record["file"]] = record

    def _write(self, path: Path, content: bytes) -> None:
        passing = path.with_name(f".{secrets.token_hex(8)}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            passing.write_bytes(content)
            os.replace(passing, path)
        except OSError as error:
            passing.unlink(missing_ok=True)
            raise OutputError("output.unwritable", path=path, reason=error.strerror) from error


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
