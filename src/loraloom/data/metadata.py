"""Captions in one table beside the pictures, as `imagefolder` data sets keep them."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import Final, TypeAlias, cast
from unicodedata import normalize

from loraloom.data.caption_files import read_text
from loraloom.data.listing import composed
from loraloom.data.picture import READABLE
from loraloom.errors import DatasetError

FILE_NAMES: Final = ("metadata.jsonl", "metadata.csv")
"""The names of such a table, best first."""

PICTURE: Final = "file_name"
"""The column that names the picture."""

# Best first: "text" is the convention, the others are what captioning tools write.
_COLUMNS: Final = ("text", "caption", "prompt")

_Row: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The captions of one table, by path relative to its folder ("sub/cat.png", composed form).

    `folders` are those that its rows name pictures in, `absent` the pictures named that are not
    there; `rivals` counts the rows with more than one column that could be the caption.
    """

    captions: Mapping[str, str]
    folders: tuple[Path, ...] = ()
    absent: tuple[str, ...] = ()
    rivals: int = 0


def read_metadata(path: Path, column: str | None = None) -> Metadata:
    """Read a `metadata.jsonl` (one object a line) or `metadata.csv` (with a header).

    A row has a `file_name` and a caption: in `column`, else in `text`, else `caption`, else
    `prompt`; its runs of white space are made one space. Raises DatasetError, naming the line,
    for a row that is malformed, has no caption, repeats a picture, or names one that is not there
    or lies outside the folder.
    """
    captions: dict[str, str] = {}
    folders: dict[Path, None] = {}
    absent: list[str] = []
    rivals = 0
    for line, row in rows(path):
        picture = picture_of(path, line, row)
        if picture is None:
            absent.append(str(row[PICTURE]))
            continue
        name = relative_name(picture, path.parent)
        if name in captions:
            raise DatasetError("dataset.metadata_repeated", file=str(path), line=line, name=name)
        captions[name] = _caption(path, line, row, column)
        folders[picture.parent] = None
        rivals += column is None and sum(known in row for known in _COLUMNS) > 1
    return Metadata(
        captions=MappingProxyType(captions),
        folders=tuple(sorted(folders)),
        absent=tuple(absent),
        rivals=rivals,
    )


def rows(path: Path) -> Iterator[tuple[int, _Row]]:
    """Yield the rows of a table with their lines; DatasetError where one cannot be read."""
    text, _ = read_text(path)
    if path.suffix.lower() == ".csv":
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        try:
            for row in reader:
                yield reader.line_num, _clean(path, reader.line_num, row)
        except csv.Error as error:
            raise _malformed(path, reader.line_num, str(error)) from error
        return
    for line, content in enumerate(text.split("\n"), start=1):
        if content.strip():
            yield line, _row(path, line, content)


def caption_column(row: _Row, column: str | None = None) -> str | None:
    """Return the name of the column that holds the caption of a row, None if there is none."""
    wanted = _COLUMNS if column is None else (column,)
    return next((name for name in wanted if name in row), None)


def relative_name(path: Path, folder: Path) -> str:
    """Return the path below `folder`, with slashes, in composed form."""
    return composed(path.relative_to(folder).as_posix())


def _row(path: Path, line: int, content: str) -> _Row:
    try:
        row = json.loads(content)
    except json.JSONDecodeError as error:
        raise _malformed(path, line, error.msg) from error
    if not isinstance(row, dict):
        raise _malformed(path, line, "not an object")
    return cast(_Row, row)


def _clean(path: Path, line: int, row: Mapping[str | None, object]) -> _Row:
    """Return a row of a table of text; one with too many or too few cells is malformed."""
    if None in row or None in row.values():
        raise _malformed(path, line, "cells do not match the header")
    return cast(_Row, row)


def _malformed(path: Path, line: int, reason: str) -> DatasetError:
    code = "dataset.metadata_csv" if path.suffix.lower() == ".csv" else "dataset.metadata_syntax"
    return DatasetError(code, file=str(path), line=line, reason=reason)


def picture_of(path: Path, line: int, row: _Row) -> Path | None:
    """Return the picture that a row names, None if there is none; DatasetError if it is outside."""
    name = row.get(PICTURE)
    if not isinstance(name, str) or not name:
        raise DatasetError("dataset.metadata_file_name", file=str(path), line=line)
    # Windows writes backslashes, and "C:" is a place outside for it alone: what is refused there
    # is refused everywhere. Links inside the folder are its owner's own doing and are followed.
    relative = PurePosixPath(name.replace("\\", "/"))
    if relative.is_absolute() or ".." in relative.parts or PureWindowsPath(name).drive:
        raise DatasetError("dataset.metadata_outside", file=str(path), line=line, name=name)
    hidden = any(part.startswith(".") for part in relative.parts)
    if relative.suffix.lower() in READABLE and not hidden:
        # The row and the file system may each compose accents and Hangul or take them apart.
        spellings = (str(relative), *(normalize(form, str(relative)) for form in ("NFC", "NFD")))
        for picture in map(path.parent.joinpath, spellings):
            if os.path.isfile(picture):
                return picture
    return None


def _caption(path: Path, line: int, row: _Row, column: str | None) -> str:
    name = caption_column(row, column)
    if name is None:
        raise DatasetError(
            "dataset.metadata_column",
            file=str(path),
            line=line,
            wanted=column or ", ".join(_COLUMNS),
            found=", ".join(key for key in row if key != PICTURE),
        )
    text = row[name]
    if not isinstance(text, str):
        raise DatasetError("dataset.metadata_caption", file=str(path), line=line, name=row[PICTURE])
    return composed(" ".join(text.split()))
