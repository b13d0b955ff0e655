"""The pictures' latents, encoded once for the whole training, or for all trainings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol, TypeAlias, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from loraloom.data.augment import View
from loraloom.data.masks import load_mask
from loraloom.data.pixels import open_picture, pixels
from loraloom.data.shot import Shot
from loraloom.errors import Diverged

Pixels: TypeAlias = Float[Tensor, "batch 3 height width"]
Latents: TypeAlias = Float[Tensor, "batch channels h w"]
Masks: TypeAlias = Float[Tensor, "batch 1 h w"]
Encode: TypeAlias = Callable[[Pixels], tuple[Latents, Latents]]
Use: TypeAlias = tuple[Shot, View]


@final
@dataclass(frozen=True)
class Row:
    """Mean and standard deviation of one view's latents, in float32 on the CPU, and its mask.

    Both are kept, rather than one sample, so that each use can draw its own.
    """

    mean: Float[Tensor, "channels h w"]
    deviation: Float[Tensor, "channels h w"]
    mask: Float[Tensor, "1 h w"] | None = None


@final
@dataclass(frozen=True)
class Rows:
    """Several views' latents, one row each; the masks are white where some views have none."""

    means: Latents
    deviations: Latents
    masks: Masks | None


@runtime_checkable
class Shelf(Protocol):
    """Where rows are kept."""

    def has(self, use: Use) -> bool:
        """Tell whether a view's row is here."""
        ...

    def get(self, use: Use) -> Row | None:
        """Return a view's row, None if it is not here."""
        ...

    def put(self, use: Use, row: Row) -> None:
        """Keep a view's row."""
        ...


@final
class Memory:
    """Rows kept in memory, to be read in no time; the views of one cut share theirs."""

    def __init__(self) -> None:
        self._rows: dict[object, Row] = {}

    def has(self, use: Use) -> bool:
        return _place(use) in self._rows

    def get(self, use: Use) -> Row | None:
        return self._rows.get(_place(use))

    def put(self, use: Use, row: Row) -> None:
        self._rows[_place(use)] = row


def _place(use: Use) -> object:
    shot, view = use
    return shot.path, shot.target, shot.box(view), view.flip, shot.mask


@final
class LatentCache:
    """Gives the latents of uses of pictures: kept on a shelf, or encoded anew at each use.

    `encode` returns mean and standard deviation of the latents of pixels. Without a `shelf`
    nothing is kept.
    """

    def __init__(self, encode: Encode, shelf: Shelf | None) -> None:
        self._encode = encode
        self._shelf = shelf

    @property
    def keeps(self) -> bool:
        """Whether latents are kept, so that only the views of which they are can be drawn."""
        return self._shelf is not None

    def fill(self, shots: Sequence[Shot], *, first: int = 0) -> Iterator[int]:
        """Encode the views that are not kept yet; yield how many pictures are done, as it grows.

        It begins with the picture numbered `first`, and goes round: processes that fill one shelf
        at once do not do the same work if each begins elsewhere. Raises DatasetError for a picture
        that cannot be decoded, Diverged (naming it) for one whose latents are not finite.
        """
        if self._shelf is None:
            return
        for number, shot in enumerate((*shots[first:], *shots[:first]), start=1):
            # Where nothing is cut away, all cuts are one.
            views = {(shot.box(view), view.flip): view for view in shot.augmentation.views()}
            lacking = [(shot, v) for v in views.values() if not self._shelf.has((shot, v))]
            self._encoded(lacking)
            if lacking or number % 64 == 0 or number == len(shots):
                yield number

    def rows(self, uses: Sequence[Use]) -> Rows:
        """Return the latents of uses of one training size; what is not kept is encoded.

        Raises DatasetError and Diverged as `fill`.
        """
        kept = [None if self._shelf is None else self._shelf.get(use) for use in uses]
        lacking = [use for use, row in zip(uses, kept, strict=True) if row is None]
        fresh = iter(self._encoded(lacking))
        found = [next(fresh) if row is None else row for row in kept]
        return Rows(
            torch.stack([row.mean for row in found]),
            torch.stack([row.deviation for row in found]),
            _masks(found),
        )

    def _encoded(self, uses: Sequence[Use]) -> list[Row]:
        """Encode uses of one training size, and keep them where anything is kept."""
        if not uses:
            return []
        shown: list[Tensor] = []
        for shot, same in groupby(uses, key=lambda use: use[0]):
            picture = open_picture(shot)
            shown += [pixels(picture, shot, view) for _, view in same]
        with torch.no_grad():
            means, deviations = self._latents(torch.stack(shown))
        rows: list[Row] = []
        for use, mean, deviation in zip(uses, means, deviations, strict=True):
            row = _row(use, mean, deviation)
            rows.append(row)
            if self._shelf is not None:
                self._shelf.put(use, row)
        return rows

    def _latents(self, shown: Pixels) -> tuple[Latents, Latents]:
        """Encode pixels: together, or one by one where latents are kept.

        An encoder rounds differently in batches of different sizes, and a kept row must not depend
        on what else was lacking. One by one is about as fast.
        """
        if self._shelf is None:
            return self._encode(shown)
        means, deviations = zip(*(self._encode(each[None]) for each in shown), strict=True)
        return torch.cat(means), torch.cat(deviations)


def _row(use: Use, mean: Tensor, deviation: Tensor) -> Row:
    shot, view = use
    if not (mean.isfinite().all() and deviation.isfinite().all()):
        raise Diverged("dataset.latents_not_finite", file=str(shot.path))
    height, width = mean.shape[-2:]
    mask = None if shot.mask is None else load_mask(shot, view, width, height)
    return Row(_kept(mean), _kept(deviation), mask)


def _kept(row: Tensor) -> Tensor:
    # A copy of its own, so that a row does not keep its whole batch alive.
    return row.detach().to("cpu", torch.float32, copy=True).contiguous()


def _masks(rows: Sequence[Row]) -> Tensor | None:
    if all(row.mask is None for row in rows):
        return None
    white = torch.ones_like(rows[0].mean[:1])
    return torch.stack([white if row.mask is None else row.mask for row in rows])
