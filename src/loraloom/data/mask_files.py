"""Which file is a picture's mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from loraloom.data.finding import some
from loraloom.data.listing import composed
from loraloom.data.picture import READABLE
from loraloom.errors import DatasetError


def find_masks(pictures: Sequence[Path], folder: Path) -> Mapping[Path, Path]:
    """Return each picture's mask: the picture of the same name, but for its ending, in a folder.

    A picture without one, two masks of one name, and a mask of two pictures are a DatasetError; so
    is a folder that cannot be listed.
    """
    listed = masks_in(folder)
    for same in sharing(pictures).values():
        raise shared(same, folder)
    lacking = [path for path in pictures if composed(path.stem) not in listed]
    if lacking:
        raise DatasetError(
            "dataset.mask_missing", count=len(lacking), files=str(lacking[0]), folder=folder
        )
    return {path: mask_of(path, listed, folder) for path in pictures}


def sharing(pictures: Sequence[Path]) -> Mapping[str, tuple[Path, ...]]:
    """Return the pictures of several folders or endings that one mask would be the mask of."""
    found: dict[str, tuple[Path, ...]] = {}
    for path in dict.fromkeys(pictures):
        stem = composed(path.stem)
        found[stem] = (*found.get(stem, ()), path)
    return {stem: same for stem, same in found.items() if len(same) > 1}


def shared(pictures: Sequence[Path], folder: Path) -> DatasetError:
    """Return the error for pictures that one mask cannot be told apart for."""
    files = some(map(str, pictures))
    return DatasetError("dataset.mask_shared", count=len(pictures), files=files, folder=folder)


def masks_in(folder: Path) -> Mapping[str, tuple[Path, ...]]:
    """Return the masks in a folder by their composed stems; DatasetError if it cannot be listed."""
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in READABLE)
    except OSError as error:
        raise DatasetError("dataset.masks_unreadable", folder=folder, reason=error) from error
    found: dict[str, tuple[Path, ...]] = {}
    for path in files:
        stem = composed(path.stem)
        found[stem] = (*found.get(stem, ()), path)
    return found


def mask_of(picture: Path, listed: Mapping[str, tuple[Path, ...]], folder: Path) -> Path:
    """Return a picture's mask among those of a folder; none or several are a DatasetError."""
    found = listed.get(composed(picture.stem), ())
    if not found:
        raise DatasetError("dataset.mask_missing", count=1, files=str(picture), folder=folder)
    mask, *others = found
    if others:
        names = ", ".join(map(str, found))
        raise DatasetError("dataset.mask_twice", count=1, files=names)
    return mask
