"""Edits of caption files that can be taken back byte for byte."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from loraloom.errors import OutputError, UsageError
from loraloom.formats.atomic import write_files

_JOURNALS: Final = Path(".loraloom", "edits")


def apply_edit(root: Path, contents: Mapping[Path, bytes]) -> Path:
    """Write new contents of files below a folder, after their old ones were put on record.

    Each file is replaced whole. Returns the record, which `undo_edit` reads; an edit that was cut
    short is taken back by it too. What cannot be written is an OutputError.
    """
    folder = root / _JOURNALS
    journal = folder / f"{_last(folder) + 1:06d}.json"
    files = [
        {
            "file": path.relative_to(root).as_posix(),
            "before": base64.b64encode(path.read_bytes()).decode("ascii"),
            "after": hashlib.sha256(content).hexdigest(),
        }
        for path, content in contents.items()
    ]
    write_files({journal: json.dumps({"files": files}, ensure_ascii=False).encode()})
    for path, content in contents.items():
        _replace(path, content)
    return journal


def undo_edit(root: Path, *, overwrite: bool) -> tuple[Path, ...]:
    """Take back the last edit below a folder and return the files that it restored.

    No edit left is a UsageError. A file that was changed since is an OutputError, and nothing is
    restored, unless `overwrite`.
    """
    folder = root / _JOURNALS
    number = _last(folder)
    if number == 0:
        raise UsageError("tags.nothing_to_undo", folder=root)
    journal = folder / f"{number:06d}.json"
    content: Any = json.loads(journal.read_text(encoding="utf-8"))
    restored: dict[Path, bytes] = {}
    for record in content["files"]:
        path, before = root / record["file"], base64.b64decode(record["before"])
        now = path.read_bytes() if path.is_file() else b""
        if now == before:
            continue  # it was not reached by an edit that was cut short
        if hashlib.sha256(now).hexdigest() != record["after"] and not overwrite:
            raise OutputError("tags.changed_since", file=path)
        restored[path] = before
    for path, before in restored.items():
        _replace(path, before)
    journal.unlink()
    with suppress(OSError):  # there are earlier edits in it
        folder.rmdir()
        folder.parent.rmdir()
    return tuple(restored)


def _last(folder: Path) -> int:
    return max((int(path.stem) for path in folder.glob("[0-9]*.json")), default=0)


def _replace(path: Path, content: bytes) -> None:
    passing = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        passing.write_bytes(content)
        os.replace(passing, path)
    except OSError as error:
        passing.unlink(missing_ok=True)
        raise OutputError("output.unwritable", path=path, reason=error.strerror) from error
