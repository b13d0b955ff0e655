"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from loraloom.errors import OutputError


def write_files(
    contents: Mapping[Path, bytes], *, overwrite: bool = False, stale: Collection[Path] = ()
) -> None:
    """Write all files or none, making missing folders; then remove the `stale` ones.

    Each is written beside its place under a passing name, forced to the disk, and then renamed.
    A file that exists is an `OutputError` unless `overwrite`; so is a full disk or a folder that
    cannot be written to, and nothing half-written is left behind.
    """
    passing = {path: path.with_name(f".{secrets.token_hex(8)}.part") for path in contents}
    try:
        for path in contents:
            if path.exists() and not overwrite:
                raise OutputError("output.exists", path=path)
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with passing[path].open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path in contents:
            passing[path].replace(path)
        for path in stale:
            path.unlink()
        _sync_folders(path.parent for path in contents)
    except OSError as error:
        where = next(iter(contents))
        reason = error.strerror or error
        raise OutputError("output.unwritable", path=where, reason=reason) from error
    finally:
        for leftover in passing.values():
            with suppress(OSError):
                leftover.unlink()


def _sync_folders(folders: Iterable[Path]) -> None:
    """Force the new names to the disk too, where folders can be opened."""
    if os.name != "posix":
        return
    for folder in set(folders):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
