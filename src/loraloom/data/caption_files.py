"""Captions in text files beside their pictures: which file belongs to which, and what it says."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from loraloom.data.listing import Listing, composed
from loraloom.data.picture import READABLE, UNREADABLE
from loraloom.errors import DatasetError, UsageError

# Best first: taggers and the web UI write .txt, .caption is kohya's older name.
EXTENSIONS: Final = (".txt", ".caption")

_UTF_16_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, kw_only=True)
class CaptionText:
    """The caption of one file, the encoding it was read in, and whether more lines follow it."""

    text: str
    encoding: str
    more_lines: bool


def extensions_to_read(asked: str | None) -> tuple[str, ...]:
    """Return the endings of caption files, best first; `asked` ("txt" or ".txt") rules alone.

    Raises UsageError for an ending that is empty or a picture's.
    """
    if asked is None:
        return EXTENSIONS
    extension = "." + asked.strip().lower().lstrip(".")
    if extension == "." or extension in READABLE | UNREADABLE:
        raise UsageError("dataset.caption_extension_invalid", extension=asked)
    return (extension,)


def caption_files(listing: Listing, extensions: tuple[str, ...]) -> Mapping[str, tuple[Path, ...]]:
    """Return the caption files of a folder by the composed stem of their picture, best first.

    Endings match in any case. "cat.txt" belongs to "cat.png", "cat.v2.txt" to "cat.v2.png".
    """
    found: dict[str, tuple[Path, ...]] = {}
    for extension in extensions:
        for file in listing.others:
            name = composed(file.name)
            if name[-len(extension) :].lower() == extension:
                stem = name[: -len(extension)]
                found[stem] = (*found.get(stem, ()), file)
    return MappingProxyType(found)


def read_caption(path: Path) -> CaptionText:
    """Return the first line of a caption file that is not blank, in composed form.

    Raises DatasetError for a file that cannot be read or decoded, or that says nothing.
    """
    text, encoding = read_text(path)
    lines = [line.strip() for line in composed(text).splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        raise DatasetError("dataset.caption_empty", file=str(path))
    return CaptionText(text=lines[0], encoding=encoding, more_lines=len(lines) > 1)


def read_text(path: Path) -> tuple[str, str]:
    """Return a file's text and its encoding: UTF-8, UTF-16 with its mark, or else cp949.

    cp949 is what Korean Windows wrote for decades. Raises DatasetError for anything else.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            "dataset.caption_unreadable", file=str(path), reason=error.strerror
        ) from error
    encodings = ("utf-16",) if data.startswith(_UTF_16_MARKS) else ("utf-8-sig", "cp949")
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        # No caption holds a zero; one that seems to was written in an encoding without a mark.
        if "\0" not in text:
            return text, encoding
    raise DatasetError("dataset.caption_undecodable", file=str(path))
