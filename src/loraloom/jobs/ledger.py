"""What was written into a folder and from what, so that doing it again writes nothing anew."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import secrets
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal, final

from loraloom.errors import OutputError
from loraloom.formats.obstacle import unwritable
from loraloom.jobs.lock import take_hold

Outcome = Literal["written", "unchanged", "edited"]

_PASSING: Final = re.compile(r"\.[0-9a-f]{16}\.part")


@final
class Ledger:
    """The record of a folder: a line for each file that was made, with what it was made from.

    A line is written before its file, and the file appears whole or not at all, so that a start
    that was killed is taken up where it stopped, and no half-made file is taken for a whole one.
    Files that were changed by hand since, or that the record does not know, are never replaced,
    unless `overwrite`. `file` is the record's name, and `purpose` what it is the record of: one of
    another purpose is none of ours.
    """

    def __init__(
        self, folder: Path, file: str, *, purpose: str = "", overwrite: bool = False
    ) -> None:
        self._folder = folder
        self._path = folder / file
        self._purpose = purpose
        self._overwrite = overwrite
        self._records: dict[str, dict[str, Any]] = {}
        self._file: io.FileIO | None = None

    def is_begun(self) -> bool:
        """Tell whether the folder holds a record of this purpose; OutputError if it is in use."""
        try:
            with self._path.open("r+b", buffering=0) as file:
                self._take_hold(file)
                whole, _ = _lines(file)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise unwritable(self._path, error) from error
        return not whole or self._is_of_purpose(whole)

    def check_empty(self) -> None:
        """Raise OutputError for a folder with things in it but no record, or one that is in use."""
        if not self.is_begun() and self._folder.is_dir() and any(self._folder.iterdir()):
            raise OutputError("preprocess.not_ours", path=self._folder)

    @contextmanager
    def held(self) -> Generator[None]:
        """Read the record and keep other processes from the folder; OutputError if one is there."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            # Without a buffer, so that nothing is left to be written when it is closed.
            file = self._path.open("a+b", buffering=0)
        except OSError as error:
            raise unwritable(self._path, error) from error
        with file:
            self._take_hold(file)
            self._file = file
            try:
                self._records = self._read(file)
                self._sweep()
                yield
            finally:
                self._file = None

    def put(self, name: str, key: str, make: Callable[[], bytes]) -> Outcome:
        """See to it that a file is there, made from what `key` stands for.

        A file that exists and was neither made nor left by this record is an OutputError.
        """
        path = self._folder / name
        record = self._records.get(name)
        before = _hash(path.read_bytes()) if path.exists() else None
        if before is not None and record is not None:
            if before == record["sha256"] and record["key"] == key:
                return "unchanged"
            if before not in (record["sha256"], record["before"]) and not self._overwrite:
                return "edited"
        if before is not None and record is None and not self._overwrite:
            raise OutputError("preprocess.not_ours", path=path)
        content = make()
        # What was there before is noted, for the program may be killed before it is replaced.
        self._note({"file": name, "key": key, "sha256": _hash(content), "before": before})
        self._write(path, content)
        return "written"

    def edited_besides(self, folders: Collection[str]) -> tuple[str, ...]:
        """Return files of the record changed by hand that lie in none of these folders of it."""
        found: list[str] = []
        for name, record in sorted(self._records.items()):
            path = self._folder / name
            if str(Path(name).parent) not in folders and path.is_file():
                made = (record["sha256"], record["before"])
                found += [name] if _hash(path.read_bytes()) not in made else []
        return tuple(found)

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

    def close(self) -> None:
        """Remove the record of a folder that is done for good."""
        if self._file is not None and os.name != "posix":
            self._file.close()
        self._path.unlink()

    def _take_hold(self, file: io.FileIO) -> None:
        if not take_hold(file):
            raise OutputError("output.at_work", path=self._folder)

    def _read(self, file: io.FileIO) -> dict[str, dict[str, Any]]:
        whole, torn = _lines(file)
        if not self._is_of_purpose(whole):
            whole, torn = [], b"none of ours"
        if torn:
            # The last start was killed while it wrote this line, so its file was not written yet.
            file.truncate(sum(map(len, whole)))
        if not whole and self._purpose:
            self._append({"purpose": self._purpose})
        records: dict[str, dict[str, Any]] = {}
        for record in map(self._said, whole):
            if record.pop("removed", False):
                records.pop(record["file"], None)
            elif "file" in record:
                records[record["file"]] = record
        return records

    def _is_of_purpose(self, whole: Sequence[bytes]) -> bool:
        return not whole or self._said(whole[0]).get("purpose", "") == self._purpose

    def _said(self, line: bytes) -> dict[str, Any]:
        """Return what a line says; one that is none of ours is an OutputError."""
        try:
            return dict(json.loads(line))
        except (ValueError, TypeError) as error:
            raise OutputError("preprocess.not_ours", path=self._path) from error

    def _note(self, record: dict[str, Any]) -> None:
        self._append(record)
        if record.get("removed"):
            self._records.pop(record["file"], None)
        else:
            self._records[record["file"]] = record

    def _append(self, record: dict[str, Any]) -> None:
        assert self._file is not None
        line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
        try:
            while line:  # a disk that gets full takes a part of it first
                line = line[self._file.write(line) :]
        except OSError as error:
            raise unwritable(self._path, error) from error

    def _write(self, path: Path, content: bytes) -> None:
        passing = path.with_name(f".{secrets.token_hex(8)}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            passing.write_bytes(content)
            os.replace(passing, path)
        except OSError as error:
            with suppress(OSError):
                passing.unlink(missing_ok=True)
            raise unwritable(path, error) from error

    def _sweep(self) -> None:
        """Remove what a start that was killed left half-written."""
        for path in self._folder.rglob(".*.part"):
            if _PASSING.fullmatch(path.name):
                path.unlink(missing_ok=True)


def _lines(file: io.FileIO) -> tuple[list[bytes], bytes]:
    """Return the lines of a record that are whole, and what was begun of one more."""
    file.seek(0)
    *whole, torn = file.read().split(b"\n")
    return [line + b"\n" for line in whole], torn


def key_of(content: bytes, settings: str = "") -> str:
    """Return what stands for a file that is made from a content in some way."""
    return f"{_hash(content)} {settings}".strip()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
