"""Pictures below a training folder that nothing uses, and the folder that was meant instead."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from loraloom.data.finding import Finding, finding, some
from loraloom.data.listing import Listing, list_folder
from loraloom.data.metadata import relative_name
from loraloom.data.picture import READABLE
from loraloom.errors import DatasetError

REGULARISATION: Final = frozenset({"reg", "regularization", "regularisation", "class"})
"""The names that kohya's tools and their users give to folders of regularisation pictures."""

# Where trainers put what they make: the pictures in it are no training set that was overlooked.
_MADE: Final = frozenset({"log", "logs", "model", "models", "output", "sample", "samples"})

_FOLDERS: Final = 2000
"""How many folders are looked into: a training folder has few, a home folder has many more."""

Usable: TypeAlias = Callable[[Listing], bool]
"""Tells whether a folder would be one to train on if it were named itself."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """What was named and what is used of it; `chosen` if a person chose this very level.

    That is not so for a folder whose training folder was found by its name, nor where all that is
    below was asked for, nor for the `image_dir` of a data set file.
    """

    here: Listing
    used: Collection[Path]
    pictures: int
    chosen: bool


def left_out(level: Level, usable: Usable) -> Iterator[Finding]:
    """Yield what tells of pictures in folders below that are not used.

    Where they are more than the used ones, another level was meant.
    """
    folder, used = level.here.folder, {os.path.realpath(each) for each in level.used}
    found = [
        each
        for each in _below(level.here)
        if each.pictures and os.path.realpath(each.folder) not in used
    ]
    if not found:
        return
    names = [relative_name(each.folder, folder) for each in found]
    counts = [f"{name}: {len(each.pictures)}" for name, each in zip(names, found, strict=True)]
    details: dict[str, object] = {
        "folder": str(folder),
        "pictures": sum(len(each.pictures) for each in found),
        "used": level.pictures,
        "files": some(counts),
    }
    overlooked = [each for each in found if not _is_company(each.folder.relative_to(folder))]
    if level.chosen and sum(len(each.pictures) for each in overlooked) > level.pictures:
        meant = next((each for each in _below(level.here) if usable(each)), overlooked[0])
        details["candidate"] = str(meant.folder)
        yield finding("dataset.level_wrong", "warning", names, **details)
    else:
        yield finding("dataset.folders_left_out", "warning", names, **details)


def nothing_here(here: Listing, usable: Usable, *, literal: bool) -> DatasetError:
    """Return the error for a folder without pictures, naming the nearest below that is usable.

    A `literal` one is named by a data set file, which has keys in the place of options.
    """
    depth = len(here.folder.parts)
    found = [each.folder for each in _below(here) if usable(each)]
    least = min((len(each.parts) for each in found), default=0)
    nearest = [each for each in found if len(each.parts) == least]
    told = [each for each in nearest if not _is_company(Path(*each.parts[depth:]))] or nearest
    if not told:
        return DatasetError(
            "dataset.pictures_missing",
            folder=str(here.folder),
            extensions=" ".join(sorted(READABLE)),
        )
    # All that is below may be taken, unless pictures of a class are among it.
    with_class = any(each.folder.name.lower() in REGULARISATION for each in _below(here))
    code = "dataset.folder_above_project" if with_class else "dataset.folder_above"
    return DatasetError(
        "dataset.folder_above_subset" if literal else code,
        folder=str(here.folder),
        candidates=some(map(str, told)),
        candidate=str(told[0]),
    )


def _below(here: Listing) -> Iterator[Listing]:
    """Yield the folders below one, the upper ones first, as far as they may be read."""
    seen = {os.path.realpath(here.folder)}
    waiting = deque(here.folders)
    while waiting and len(seen) <= _FOLDERS:
        folder = waiting.popleft()
        real = os.path.realpath(folder)  # a link to a folder above would never end
        if real in seen or not os.access(folder, os.R_OK | os.X_OK):
            continue
        seen.add(real)
        listing = list_folder(folder)
        waiting.extend(listing.folders)
        yield listing


def _is_company(path: Path) -> bool:
    """Tell whether a path leads to what stands beside training pictures."""
    return any(part.lower() in REGULARISATION | _MADE for part in path.parts)
