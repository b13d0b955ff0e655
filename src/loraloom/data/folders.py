"""Which folders of pictures a training folder stands for, and how often each is repeated."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from loraloom.data.finding import Finding, Tally, some
from loraloom.data.listing import Listing, composed, list_folder
from loraloom.data.metadata import FILE_NAME, Metadata, read_metadata, relative_name
from loraloom.data.picture import READABLE
from loraloom.errors import DatasetError

# kohya's convention: "10_sks dog" is shown ten times an epoch and is called "sks dog". Unlike
# there, a bare "10" is a plain folder, so that "2023" does not mean 2023 repeats.
_NUMBERED: Final = re.compile(r"([1-9][0-9]*)_(.*)", re.DOTALL)

_LEVELS_BELOW: Final = 2


@dataclass(frozen=True, kw_only=True)
class Subset:
    """Pictures that share a number of repeats.

    `words` caption a picture that has no caption of its own ("" where the name gives none).
    `listings` are the folders that hold the pictures: the subset's own, then those that its
    `metadata` names pictures in.
    """

    folder: Path
    name: str
    repeats: int
    words: str
    listings: tuple[Listing, ...]
    metadata: Metadata

    def pictures(self) -> Iterator[tuple[Listing, Path]]:
        """Yield every picture with the listing that it is in, sorted by path."""
        for listing in self.listings:
            for path in listing.pictures:
                yield listing, path


def find_subsets(root: Path, *, repeats: int) -> tuple[tuple[Subset, ...], tuple[Finding, ...]]:
    """Return the subsets of a training folder, at least one, and what was left out.

    Either `root` is named like "10_words" and holds pictures, or it has subfolders named so, or it
    is a flat folder, whose pictures are repeated `repeats` times. Nothing else below it is used.
    Raises DatasetError if there is no such folder, or none with pictures.
    """
    here = list_folder(_existing(root))
    is_leaf = _number(_own_name(root)) is not None and _holds_pictures(here)
    numbered = () if is_leaf else _numbered_below(here)
    subsets = tuple(_subset(listing, repeats) for listing in numbered or (here,))
    subsets = tuple(subset for subset in subsets if any(subset.pictures()))
    if not subsets:
        raise _nothing_here(here)
    return subsets, _remarks(here, subsets)


def _existing(root: Path) -> Path:
    # These say no, where pathlib's raise, to a path that cannot be looked at.
    if os.path.isdir(root):
        return root
    if os.path.exists(root):
        raise DatasetError("dataset.folder_is_file", folder=str(root))
    parent = Path(os.path.abspath(root)).parent
    folders = list_folder(parent).folders if os.path.isdir(parent) else ()
    siblings = {composed(folder.name): folder for folder in folders}
    near = get_close_matches(_own_name(root), siblings, n=1)
    if near:
        raise DatasetError(
            "dataset.folder_missing_near", folder=str(root), nearest=str(siblings[near[0]])
        )
    raise DatasetError("dataset.folder_missing", folder=str(root))


def _own_name(folder: Path) -> str:
    # abspath, unlike resolve, keeps the name under which a link was given.
    return composed(os.path.basename(os.path.abspath(folder)))


def _number(name: str) -> tuple[int, str] | None:
    match = _NUMBERED.fullmatch(name)
    return (int(match[1]), match[2].strip()) if match else None


def _metadata_path(listing: Listing) -> Path | None:
    return next((file for file in listing.others if file.name == FILE_NAME), None)


def _holds_pictures(listing: Listing) -> bool:
    return bool(listing.pictures) or _metadata_path(listing) is not None


def _numbered_below(listing: Listing) -> tuple[Listing, ...]:
    below = [list_folder(folder) for folder in listing.folders if _number(composed(folder.name))]
    return tuple(sub for sub in below if _holds_pictures(sub))


def _subset(listing: Listing, repeats: int) -> Subset:
    name = _own_name(listing.folder)
    number, words = _number(name) or (repeats, "")
    path = _metadata_path(listing)
    metadata = read_metadata(path) if path else Metadata(captions={}, folders=(), rivals=0)
    further = tuple(list_folder(f) for f in metadata.folders if f != listing.folder)
    return Subset(
        folder=listing.folder,
        name=name,
        repeats=number,
        words=words,
        listings=(listing, *further),
        metadata=metadata,
    )


def _remarks(here: Listing, subsets: Sequence[Subset]) -> tuple[Finding, ...]:
    tally = Tally()
    used = {listing.folder for subset in subsets for listing in subset.listings}
    if here.folder not in used:
        for path in here.pictures:
            tally.warn("dataset.pictures_beside", path.name, folder=str(here.folder))
        if path := _metadata_path(here):
            tally.warn("dataset.metadata_beside", path.name, folder=str(here.folder))
    for folder in here.folders:
        if folder in used:
            continue
        if list_folder(folder).pictures:
            tally.warn("dataset.folders_left_out", folder.name, folder=str(here.folder))
        elif _number(composed(folder.name)):
            tally.warn("dataset.folders_empty", folder.name, folder=str(here.folder))
    for subset in subsets:
        if subset.metadata.rivals:
            tally.warn(
                "dataset.metadata_rivals", relative_name(subset.folder / FILE_NAME, here.folder)
            )
        for listing in subset.listings:
            for path in listing.unreadable:
                tally.warn("dataset.pictures_left_out", relative_name(path, here.folder))
    return tally.findings()


def _nothing_here(here: Listing) -> DatasetError:
    """Return the error for a folder without pictures, naming the one below that has some."""
    level: tuple[Listing, ...] = (here,)
    for _ in range(_LEVELS_BELOW):
        below = (folder for above in level for folder in above.folders)
        level = tuple(list_folder(sub) for sub in below if os.access(sub, os.R_OK | os.X_OK))
        usable = [str(sub.folder) for sub in level if sub.pictures or _numbered_below(sub)]
        if usable:
            return DatasetError(
                "dataset.folder_above",
                folder=str(here.folder),
                candidates=some(usable),
                candidate=usable[0],
            )
    return DatasetError(
        "dataset.pictures_missing",
        folder=str(here.folder),
        extensions=" ".join(sorted(READABLE)),
    )
