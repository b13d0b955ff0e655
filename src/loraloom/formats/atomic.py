"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeAlias

from loraloom.errors import OutputError
from loraloom.formats.obstacle import unwritable

Content: TypeAlias = bytes | Iterable[bytes | memoryview]


def write_files(
    contents: Mapping[Path, Content], *, overwrite: bool = False, stale: Collection[Path] = ()
) -> None:
    """Write all files or none, making missing folders; then remove the `stale` ones.

    A content in blocks is gone through once, and never held as a whole.
    Each is written beside its place under a passing name, forced to the disk, and then renamed.
    A file that exists is an `OutputError` unless `overwrite`; so is a full disk or a folder that
    cannot be written to, or a file that cannot be put into its place or removed. Then everything
    is as it was: nothing half-written is left behind, nor any folder made for it.
    """
    for _ in writing(contents, overwrite=overwrite, stale=stale):
        pass


def writing(
    contents: Mapping[Path, Content], *, overwrite: bool = False, stale: Collection[Path] = ()
) -> Generator[int, None, None]:
    """Do as `write_files`, yielding the size of each block once it is written.

    To close it before its end is to write nothing at all.
    """
    passing = {path: path.with_name(f".{secrets.token_hex(8)}.part") for path in contents}
    aside = {path: path.with_name(f".{secrets.token_hex(8)}.old") for path in (*contents, *stale)}
    made: list[Path] = []
    where = next(iter(contents))
    try:
        for where in contents:
            _check_place(where, overwrite)
        for where, content in contents.items():
            _make_folders(where.parent, made)
            with passing[where].open("xb") as file:
                for block in (content,) if isinstance(content, bytes) else content:
                    file.write(block)
                    yield len(block)
                file.flush()
                os.fsync(file.fileno())
        with ExitStack() as undoing:
            several = len(contents) + len(stale) > 1
            for where in contents:
                if several:
                    _keep(where, aside[where], undoing)
                passing[where].replace(where)
            for where in stale:
                where.rename(aside[where])
                undoing.callback(_restore, where, aside[where])
            _sync_folders(path.parent for path in contents)
            undoing.pop_all()
        for each in aside.values():
            with suppress(OSError):
                each.unlink()
    except OSError as error:
        raise unwritable(where, error) from error
    finally:
        for leftover in passing.values():
            with suppress(OSError):
                leftover.unlink()
        for folder in reversed(made):
            with suppress(OSError):  # It is not empty where all went well.
                folder.rmdir()


def _check_place(path: Path, overwrite: bool) -> None:
    """Refuse a place that is taken; a folder can never be replaced by a file."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if path.exists() and not overwrite:
        raise OutputError("output.exists", path=path)


def _keep(path: Path, aside: Path, undoing: ExitStack) -> None:
    """Keep what is at a path under a second name too, and note how to have it back.

    Where the file system has no second names it is moved.
    """
    if not os.path.lexists(path):
        undoing.callback(path.unlink, missing_ok=True)
        return
    try:
        os.link(path, aside)
    except OSError:
        path.rename(aside)
    undoing.callback(_restore, path, aside)


def _restore(path: Path, aside: Path) -> None:
    aside.replace(path)
    aside.unlink(missing_ok=True)  # It stays where both are names of one file.


def _make_folders(folder: Path, made: list[Path]) -> None:
    """Make a folder and those above it that are missing, noting each in `made`."""
    for each in (*reversed(folder.parents), folder):
        if not each.is_dir():
            each.mkdir(exist_ok=True)
            made.append(each)


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
