"""Which pictures of a folder are to be captioned, and where their captions go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from loraloom.data.caption_files import EXTENSIONS, caption_files, caption_files_of
from loraloom.data.finding import some
from loraloom.data.folders import find_subsets
from loraloom.data.listing import Listing
from loraloom.data.picture import check_regular
from loraloom.data.source import Source
from loraloom.errors import DatasetError
from loraloom.events import Warned


@final
@dataclass(frozen=True, kw_only=True)
class Uncaptioned:
    """The file of each caption to be written, by its picture; `kept` have a caption already.

    `notices` tell what is left out of both.
    """

    files: Mapping[Path, Path]
    kept: tuple[Path, ...]
    notices: tuple[Warned, ...]


def find_uncaptioned(
    folder: Path, extension: str, *, overwrite: bool, recursive: bool
) -> Uncaptioned:
    """Return the pictures of a training folder that lack a caption, all of them to `overwrite`.

    A caption file of any usual extension counts, unless it is blank. A folder without pictures is
    a `DatasetError`.
    """
    listings, notices = _listings(folder, recursive=recursive)
    files: dict[Path, Path] = {}
    kept: list[Path] = []
    sharing: list[str] = []
    for listing in listings:
        known = caption_files(listing, tuple(dict.fromkeys((extension, *EXTENSIONS))))
        seen: set[Path] = set()
        for picture in listing.pictures:
            beside = caption_files_of(picture, listing, known)
            ours = (file for file in beside if file.suffix.lower() == extension)
            own = next(ours, picture.with_name(picture.stem + extension))
            if own in seen:
                sharing.append(picture.name)
            elif any(map(_says_something, beside)) and not overwrite:
                kept.append(picture)
            else:
                files[picture] = own
            seen.add(own)
    if sharing:
        details = {"count": len(sharing), "files": some(sharing)}
        notices = (*notices, Warned(code="caption.shared", details=details))
    return Uncaptioned(files=files, kept=tuple(kept), notices=notices)


def _listings(folder: Path, *, recursive: bool) -> tuple[Sequence[Listing], tuple[Warned, ...]]:
    """Return the folders whose pictures are trained on; pictures of a class have its name."""
    subsets, findings = find_subsets(Source(folder=folder, recursive=recursive))
    listings = [
        listing
        for subset in subsets
        if not subset.source.regularisation
        for listing in subset.listings
    ]
    return listings, tuple(
        Warned(code=each.code, details=each.details, severity=each.severity) for each in findings
    )


def _says_something(file: Path) -> bool:
    check_regular(file, "dataset.caption_unreadable")
    try:
        return bool(file.read_bytes().strip())
    except OSError as error:
        raise DatasetError(
            "dataset.caption_unreadable", count=1, files=str(file), reason=error.strerror
        ) from error
