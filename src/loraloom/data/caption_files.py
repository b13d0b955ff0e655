"""Captions in text files beside their pictures: which file belongs to which, and what it says."""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from loraloom.data.listing import Listing, composed
from loraloom.data.mojibake import Mended, is_korean, mend
from loraloom.data.picture import READABLE, UNREADABLE, check_regular
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


# What else bytes may be that are valid cp949 but no Korean, by the places they come from.
_OTHERS: Final = ("cp932", "gb18030", "big5")
_PREVIEW: Final = 24


@dataclass(frozen=True, kw_only=True)
class CaptionText:
    """The lines of a caption file that say anything, and the encoding they were read in.

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


def caption_files_of(
    picture: Path, listing: Listing, files: Mapping[str, tuple[Path, ...]]
) -> tuple[Path, ...]:
    """Return the caption files of a picture, best first, out of those of its folder.

    Where letters of a name may be composed or taken apart, those spelt just like the picture come
    first, and none that are spelt like another picture.
    """
    found = files.get(composed(picture.stem), ())
    exact = tuple(file for file in found if file.name.startswith(picture.stem))
    if not exact or len(exact) == len(found):
        return found
    stem = composed(picture.stem)
    others = tuple(p.stem for p in listing.pictures if p != picture and composed(p.stem) == stem)
    return exact + tuple(f for f in found if f not in exact and not f.name.startswith(others))


def says_something(text: str) -> bool:
    """Tell whether a text holds more than blanks, marks between words, and letters of no width.

    Question marks count: they may be what is left of letters.
    """
    return any(letter == "?" or unicodedata.category(letter)[0] in "LNS" for letter in text)


def read_caption(path: Path, encoding: str | None = None) -> CaptionText:
    """Return what a caption file says, in composed form; `encoding` as in `read_text`.

    Raises DatasetError for a file that cannot be read or decoded, or that says nothing.
    """
    text, encoding = read_text(path, encoding)
    lines = tuple(line.strip() for line in composed(text).splitlines() if says_something(line))
    if not lines:
        raise DatasetError("dataset.caption_empty", count=1, files=str(path))
    return CaptionText(lines=lines, encoding=encoding, mended=mend(text))


def read_text(path: Path, encoding: str | None = None) -> tuple[str, str]:
    """Return a file's text and its encoding: "utf-8", or "utf-8-sig" or "utf-16" with a byte order
    mark, or else `encoding`, which is cp949 where none is given.

    cp949 is what Korean Windows wrote for decades. Raises DatasetError for anything else, and where
    cp949 was not asked for, for what is valid in it but reads like no Korean.
    """
    check_regular(path, "dataset.caption_unreadable")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            "dataset.caption_unreadable", count=1, files=str(path), reason=error.strerror
        ) from error
    marked = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    for each in (marked,) if marked else ("utf-8", encoding or "cp949"):
        try:
            text = data.decode(each)
        except UnicodeDecodeError:
            continue
        # No caption holds a zero; one that seems to was written in an encoding without a mark.
        if "\0" in text:
            continue
        if each == "cp949" and encoding is None and not is_korean(text):
            raise _ambiguous(path, data)
        return text, each
    raise DatasetError("dataset.caption_undecodable", count=1, files=str(path))


def _ambiguous(path: Path, data: bytes) -> DatasetError:
    """Return the error for bytes of several readings, with what each of them would say."""
    readings: list[str] = []
    for encoding in ("cp949", *_OTHERS):
        try:
            text = " ".join(data.decode(encoding).split())
        except UnicodeDecodeError:
            continue
        shown = text if len(text) <= _PREVIEW else f"{text[:_PREVIEW]}…"
        readings.append(f'{encoding} "{shown}"')
    return DatasetError(
        "dataset.caption_ambiguous", count=1, files=str(path), readings=", ".join(readings)
    )
