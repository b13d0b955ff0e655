"""Captions in one `metadata.jsonl` beside the pictures, as `imagefolder` data sets keep them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import Final, TypeAlias, cast
from unicodedata import normalize

from loraloom.data.caption_files import read_text
from loraloom.data.listing import composed
from loraloom.data.picture import READABLE
from loraloom.errors import DatasetError

FILE_NAME: Final = "metadata.jsonl"

# Best first: "text" is the convention, the others are what captioning tools write.
_COLUMNS: Final = ("text", "caption", "prompt")

_Row: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The captions of one file, by path relative to its folder ("sub/cat.png", composed form).

    `folders` are those that its rows name pictures in; `rivals` counts the rows with more than
    one column that could be the caption.
    """

    captions: Mapping[str, str]
    folders: tuple[Path, ...]
    rivals: int


def read_metadata(path: Path) -> Metadata:
    """Read a `metadata.jsonl`: one object a line, with `file_name` and a caption.

    The caption is `text`, else `caption`, else `prompt`, its runs of white space made one space.
    Raises DatasetError, naming the line, for a row that is malformed, has no caption, repeats a
    picture, or names one that is not there or lies outside the folder.
    """
    text, _ = read_text(path)
    captions: dict[str, str] = {}
    folders: dict[Path, None] = {}
    rivals = 0
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        row = _row(path, line, content)
        picture = _picture(path, line, row)
        name = relative_name(picture, path.parent)
        if name in captions:
            raise DatasetError("dataset.metadata_repeated", file=str(path), line=line, name=name)
        captions[name] = _caption(path, line, row)
        folders[picture.parent] = None
        rivals += sum(column in row for column in _COLUMNS) > 1
    return Metadata(
        captions=MappingProxyType(captions), folders=tuple(sorted(folders)), rivals=rivals
    )


def relative_name(path: Path, folder: Path) -> str:
    """Return the path below `folder`, with slashes, in composed form."""
    return composed(path.relative_to(folder).as_posix())


def _row(path: Path, line: int, content: str) -> _Row:
    try:
        row = json.loads(content)
    except json.JSONDecodeError as error:
        raise DatasetError(
            "dataset.metadata_syntax", file=str(path), line=line, reason=error.msg
        ) from error
    if not isinstance(row, dict):
        raise DatasetError(
            "dataset.metadata_syntax", file=str(path), line=line, reason="not an object"
        )
    return cast(_Row, row)


def _picture(path: Path, line: int, row: _Row) -> Path:
    name = row.get("file_name")
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
    raise DatasetError("dataset.metadata_no_picture", file=str(path), line=line, name=name)


def _caption(path: Path, line: int, row: _Row) -> str:
    present = [row[column] for column in _COLUMNS if column in row]
    if not present or not isinstance(present[0], str) or not present[0].strip():
        raise DatasetError(
            "dataset.metadata_caption", file=str(path), line=line, name=row["file_name"]
        )
    return composed(" ".join(present[0].split()))
