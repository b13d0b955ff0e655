"""Captions in text files beside their pictures: which file belongs to which, and what it says."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from loraloom.data.listing import Listing, composed
from loraloom.data.mojibake import Mended, mend
from loraloom.data.picture import READABLE, UNREADABLE
from loraloom.errors import DatasetError, UsageError

# Best first: taggers and the web UI write .txt, .caption is kohya's older name.
EXTENSIONS: Final = (".txt", ".caption")

_MARKS: Final = MappingProxyType(
    {
        codecs.BOM_UTF8: "utf-8-sig",
        codecs.BOM_UTF16_LE: "utf-16",
        codecs.BOM_UTF16_BE: "utf-16",
    }
)


@dataclass(frozen=True, kw_only=True)
class CaptionText:
    """The lines of a caption file that are not blank, and the encoding they were read in.

    `mended` is what the whole text must have been, where it looks garbled.
    """

    lines: tuple[str, ...]
    encoding: str
    mended: Mended | None = None


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
    """Return what a caption file says, in composed form.

    Raises DatasetError for a file that cannot be read or decoded, or that says nothing.
    """
    text, encoding = read_text(path)
    lines = tuple(line.strip() for line in composed(text).splitlines() if line.strip())
    if not lines:
        raise DatasetError("dataset.caption_empty", count=1, files=str(path))
    return CaptionText(lines=lines, encoding=encoding, mended=mend(text))


def read_text(path: Path) -> tuple[str, str]:
    """Return a file's text and its encoding: "utf-8", or "utf-8-sig" or "utf-16" with a byte order
    mark, or else "cp949".

    cp949 is what Korean Windows wrote for decades. Raises DatasetError for anything else.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            "dataset.caption_unreadable", count=1, files=str(path), reason=error.strerror
        ) from error
    marked = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    for encoding in (marked,) if marked else ("utf-8", "cp949"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        # No caption holds a zero; one that seems to was written in an encoding without a mark.
        if "\0" not in text:
            return text, encoding
    raise DatasetError("dataset.caption_undecodable", count=1, files=str(path))
