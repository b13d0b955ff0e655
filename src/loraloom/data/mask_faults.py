"""What is wrong with the masks of a training folder, found before anything is encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from loraloom.data.augment import Augmentation, View
from loraloom.data.bucket import Bucketing, Size
from loraloom.data.listing import composed
from loraloom.data.mask_files import mask_of, masks_in, shared, sharing
from loraloom.data.mask_values import mask_values
from loraloom.data.shot import MaskSource, Shot
from loraloom.errors import DatasetError

_CELL: Final = 8
"""Pixels of a side that Stable Diffusion's autoencoders make one cell of."""


@dataclass(frozen=True, kw_only=True)
class Masking:
    """Where the masks of pictures are, their own transparency if `folder` is None.

    `moves`: the cut moves from use to use, so one that misses the mask does no harm.
    """

    folder: Path | None = None
    moves: bool = False


def mask_faults(
    pictures: Sequence[tuple[Path, Size, Masking | None]], bucketing: Bucketing | None
) -> Iterator[DatasetError | None]:
    """Yield what training would say of each picture's mask, None where nothing is wrong.

    Pictures are told by path, upright size and masking.
    """
    listed = cache(_listed)
    folders = {masking.folder for _, _, masking in pictures if masking and masking.folder}
    ambiguous = {
        folder: sharing([path for path, _, each in pictures if each and each.folder == folder])
        for folder in folders
    }
    for path, size, masking in pictures:
        if masking is None:
            yield None
        elif masking.folder and composed(path.stem) in ambiguous[masking.folder]:
            yield shared((path,), masking.folder)
        else:
            yield _fault(path, size, masking, bucketing, listed)


def _listed(folder: Path) -> Mapping[str, tuple[Path, ...]] | DatasetError:
    try:
        return masks_in(folder)
    except DatasetError as error:
        return error


def _fault(
    path: Path,
    size: Size,
    masking: Masking,
    bucketing: Bucketing | None,
    listed: Callable[[Path], Mapping[str, tuple[Path, ...]] | DatasetError],
) -> DatasetError | None:
    fit = bucketing.fit(*size) if bucketing else None
    mask: MaskSource = "alpha"
    try:
        if masking.folder is not None:
            found = listed(masking.folder)
            if isinstance(found, DatasetError):
                return found
            mask = mask_of(path, found, masking.folder)
        shot = Shot(
            path=path,
            size=size,
            target=fit.bucket if fit else size,
            scaled=fit.resized if fit else None,
            augmentation=Augmentation(crop=masking.moves),
            mask=mask,
        )
        width, height = shot.target
        mask_values(shot, View(), max(1, width // _CELL), max(1, height // _CELL))
    except DatasetError as error:
        return _of_the_mask(error)
    return None


def _of_the_mask(error: DatasetError) -> DatasetError:
    """Return an error of a mask's file as that of a mask, for it is read as any picture is."""
    if not error.code.startswith("dataset.picture_"):
        return error
    told = [str(value) for key, value in error.details.items() if key not in ("count", "files")]
    reason = ", ".join(told)
    return DatasetError(
        "dataset.mask_unreadable", count=1, files=error.details["files"], reason=reason
    )
