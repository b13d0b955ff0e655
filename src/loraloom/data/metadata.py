"""Captions in one table beside the pictures, as `imagefolder` data sets keep them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import Final
from unicodedata import normalize

from loraloom.data.caption_files import read_text
from loraloom.data.finding import Finding, finding, some
from loraloom.data.listing import composed, spelled
from loraloom.data.picture import READABLE
from loraloom.data.rows import (
    COLUMNS,
    PICTURE,
    Row,
    UnreadRow,
    caption_column,
    no_column,
    quoted_names,
    rows,
)
from loraloom.errors import DatasetError

FILE_NAMES: Final = ("metadata.jsonl", "metadata.csv")
"""The names of such a table, best first."""


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The captions of one table, by path relative to its folder ("sub/cat.png", composed form).

    `faulty` are the pictures whose row cannot be used, and `faults` all rows that cannot, by line;
    line 1 of a table of commas is its header, without which no row counts. `unread` is the first
    fault of a row that may be of any picture, None if there is none. `folders` are those that its
    rows name pictures in, `absent` the pictures named that are not there; `rivals` counts the rows
    with more than one column that could be the caption. `encoding` is what it was read in.
    """

    captions: Mapping[str, str]
    faulty: Mapping[str, DatasetError] = field(default_factory=dict[str, DatasetError])
    faults: tuple[tuple[int, DatasetError], ...] = ()
    unread: DatasetError | None = None
    folders: tuple[Path, ...] = ()
    absent: tuple[str, ...] = ()
    rivals: int = 0
    file: Path | None = None
    encoding: str = ""
    empty: bool = False


def read_metadata(
    path: Path, column: str | None = None, *, encoding: str | None = None
) -> Metadata:
    """Read a `metadata.jsonl` (one object a line) or `metadata.csv` (with a header).

    A row has a `file_name` and a caption: in `column`, else in `text`, else `caption`, else
    `prompt`; its runs of white space are made one space. A row is a fault if it is malformed, has
    no caption, repeats a picture, or names one that lies outside the folder. Raises DatasetError
    for a table that is no text; `encoding` as in `read_text`.
    """
    captions: dict[str, str] = {}
    faulty: dict[str, DatasetError] = {}
    faults: list[tuple[int, DatasetError]] = []
    folders: dict[Path, None] = {}
    absent: list[str] = []
    unread: DatasetError | None = None
    rivals = 0
    for line, row in rows(path, column, encoding=encoding):
        name = ""
        try:
            if isinstance(row, DatasetError):
                if picture := _picture_of_unread(path, line, row):
                    name = relative_name(picture, path.parent)
                    folders[picture.parent] = None
                raise row
            picture = picture_of(path, line, row)
            if picture is None:
                absent.append(spelled(str(row[PICTURE])))
                continue
            name = relative_name(picture, path.parent)
            folders[picture.parent] = None
            if name in captions:
                told = {"file": path.name, "line": line, "name": name}
                raise DatasetError("dataset.metadata_repeated", **told)
            captions[name] = _caption(path, line, row, column)
            rivals += column is None and sum(known in row for known in COLUMNS) > 1
        except DatasetError as error:
            faults.append((line, error))
            if name:
                faulty.setdefault(name, error)
            else:
                unread = unread or error
    return Metadata(
        captions=MappingProxyType({n: text for n, text in captions.items() if n not in faulty}),
        faulty=MappingProxyType(faulty),
        faults=tuple(faults),
        unread=unread,
        folders=tuple(sorted(folders)),
        absent=tuple(absent),
        rivals=rivals,
        file=path,
        encoding=read_text(path, encoding)[1],
        empty=not (captions or faults or absent),
    )


def row_findings(metadata: Metadata, told: str) -> Iterator[Finding]:
    """Yield what is wrong with the rows of a table, each kind once, and whether it has none."""
    kinds: dict[str, list[tuple[int, DatasetError]]] = {}
    for line, fault in metadata.faults:
        kinds.setdefault(fault.code, []).append((line, fault))
    for code, found in kinds.items():
        details = {
            **found[0][1].details,
            "file": told,
            "lines": some(str(line) for line, _ in found),
        }
        details.pop("line", None)
        yield finding(code, "error", (f"{told}:{line}" for line, _ in found), **details)
    if metadata.empty:
        yield finding("dataset.metadata_empty", "warning", (told,))


def relative_name(path: Path, folder: Path) -> str:
    """Return the path below `folder`, with slashes, in letters and in composed form."""
    return "/".join(map(spelled, path.relative_to(folder).parts)) or "."


def picture_of(path: Path, line: int, row: Row) -> Path | None:
    """Return the picture that a row names, None if there is none; DatasetError if it is outside."""
    name = row.get(PICTURE)
    if not isinstance(name, str) or not name:
        told = {"file": path.name, "line": line, "found": quoted_names(row)}
        raise DatasetError("dataset.metadata_file_name", **told)
    # Windows writes backslashes, and "C:" is a place outside for it alone: what is refused there
    # is refused everywhere. Links inside the folder are its owner's own doing and are followed.
    relative = PurePosixPath(name.replace("\\", "/"))
    if relative.is_absolute() or ".." in relative.parts or PureWindowsPath(name).drive:
        raise DatasetError("dataset.metadata_outside", file=path.name, line=line, name=name)
    hidden = any(part.startswith(".") for part in relative.parts)
    if relative.suffix.lower() in READABLE and not hidden:
        # The row and the file system may each compose accents and Hangul or take them apart.
        spellings = (str(relative), *(normalize(form, str(relative)) for form in ("NFC", "NFD")))
        for picture in map(path.parent.joinpath, spellings):
            if os.path.isfile(picture):
                return picture
    return None


def _picture_of_unread(path: Path, line: int, fault: DatasetError) -> Path | None:
    """Return the picture that a row names though it cannot be used, None if none can be told."""
    if isinstance(fault, UnreadRow):
        with suppress(DatasetError):
            return picture_of(path, line, fault.cells)
    return None


def _caption(path: Path, line: int, row: Row, column: str | None) -> str:
    name = caption_column(row, column)
    if name is None:
        raise no_column(path, line, row, column)
    text = row[name]
    if not isinstance(text, str):
        told = {"file": path.name, "line": line, "name": row[PICTURE]}
        raise DatasetError("dataset.metadata_caption", **told)
    return composed(" ".join(text.split()))
