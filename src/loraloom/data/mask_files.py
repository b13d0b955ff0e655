"""Which file is a picture's mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from loraloom.data.listing import composed
from loraloom.data.picture import READABLE
from loraloom.errors import DatasetError


def find_masks(pictures: Sequence[Path], folder: Path) -> Mapping[Path, Path]:
    """Return each picture's mask: the picture of the same name, but for its ending, in a folder.

    A picture without one, and two masks of one name, are a DatasetError; so is a folder that cannot
    be listed.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in READABLE)
    except OSError as error:
        raise DatasetError("dataset.masks_unreadable", folder=folder, reason=error) from error
    found: dict[str, Path] = {}
    for path in files:
        other = found.setdefault(composed(path.stem), path)
        if other is not path:
            raise DatasetError("dataset.mask_twice", files=f"{other}, {path}")
    lacking = [path for path in pictures if composed(path.stem) not in found]
    if lacking:
        raise DatasetError(
            "dataset.mask_missing", count=len(lacking), files=str(lacking[0]), folder=folder
        )
    return {path: found[composed(path.stem)] for path in pictures}
