"""Which words describe each picture of a subset, where several places may say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from loraloom.data.caption_files import (
    EXTENSIONS,
    caption_files,
    caption_files_of,
    read_caption,
    says_something,
)
from loraloom.data.folders import Subset
from loraloom.data.listing import Listing, composed
from loraloom.data.metadata import relative_name
from loraloom.data.mojibake import Mended, mend
from loraloom.errors import DatasetError

Origin: TypeAlias = Literal["file", "row", "folder", "trigger", "nowhere"]


@dataclass(frozen=True, kw_only=True)
class Caption:
    """What describes a picture, and where it comes from; its text is "" where nothing does.

    `file` is the caption file that was read, and `rivals` are those beside it that were not;
    `encoding` is the file's, or that of the table; `also_row` tells that the metadata has a row
    too. The lines after the first are `further_lines`. `mended` is what the file, or the row, must
    have said where it looks garbled. A `fault` says why it gives no text.
    """

    text: str = ""
    origin: Origin = "nowhere"
    further_lines: tuple[str, ...] = ()
    file: Path | None = None
    encoding: str = ""
    rivals: tuple[Path, ...] = ()
    also_row: bool = False
    mended: Mended | None = None
    fault: DatasetError | None = None


def find_captions(
    subset: Subset, *, extensions: tuple[str, ...], trigger: str
) -> Mapping[Path, Caption]:
    """Return the caption of each picture of a subset, sorted by path.

    The first of these that exists: its caption file (in the order of `extensions`), its row in
    the metadata file, the words of the subset, the trigger. A file or row that exists and says
    nothing is a fault, and nothing else stands in for it; so is a row that cannot be read, for each
    picture without a caption that it may belong to.
    """
    extensions = subset.caption_extensions or extensions
    files = {listing.folder: caption_files(listing, extensions) for listing in subset.listings}
    captions: dict[Path, Caption] = {}
    for listing, path in subset.pictures():
        beside = caption_files_of(path, listing, files[listing.folder])
        name = relative_name(path, subset.folder)
        row = subset.metadata.captions.get(name)
        if beside:
            encoding = subset.source.caption_encoding
            captions[path] = _from_file(beside, encoding, also_row=row is not None)
        elif row is not None:
            captions[path] = _from_row(path, row, subset.metadata.encoding)
        elif fault := subset.metadata.faulty.get(name, subset.metadata.unread):
            captions[path] = Caption(origin="row", fault=fault)
        elif subset.words:
            captions[path] = Caption(text=subset.words, origin="folder")
        else:
            captions[path] = Caption(text=trigger, origin="trigger" if trigger else "nowhere")
    return captions


def check_extension(subsets: Sequence[Subset], extensions: tuple[str, ...]) -> None:
    """Raise DatasetError if no caption file ends as asked, though pictures have other ones."""

    def endings(wanted: tuple[str, ...]) -> set[str]:
        found: set[str] = set()
        for listing in (listing for subset in subsets for listing in subset.listings):
            files = caption_files(listing, wanted)
            for picture in listing.pictures:
                found |= {file.suffix for file in files.get(composed(picture.stem), ())}
        return found

    others = endings(EXTENSIONS)
    if others and not endings(extensions):
        raise DatasetError(
            "dataset.caption_extension_absent",
            folder=str(subsets[0].source.folder),
            asked=extensions[0],
            found=min(others),
        )


def alone(listing: Listing, extensions: tuple[str, ...]) -> tuple[Path, ...]:
    """Return the files of a folder that could be captions and belong to no picture."""
    stems = {composed(picture.stem) for picture in (*listing.pictures, *listing.unreadable)}
    files = caption_files(listing, extensions)
    return tuple(first for stem, (first, *_) in files.items() if stem not in stems)


def _from_file(beside: tuple[Path, ...], encoding: str | None, *, also_row: bool) -> Caption:
    used, *ignored = beside
    rivals = tuple(ignored)
    try:
        read = read_caption(used, encoding)
    except DatasetError as error:
        return Caption(origin="file", file=used, rivals=rivals, also_row=also_row, fault=error)
    return Caption(
        text=read.lines[0],
        origin="file",
        further_lines=read.lines[1:],
        file=used,
        encoding=read.encoding,
        rivals=rivals,
        also_row=also_row,
        mended=read.mended,
    )


def _from_row(path: Path, row: str, encoding: str) -> Caption:
    if says_something(row):
        return Caption(text=row, origin="row", encoding=encoding, mended=mend(row))
    empty = DatasetError("dataset.caption_empty", count=1, files=str(path))
    return Caption(origin="row", fault=empty)
