"""The sizes that pictures of different shapes are trained at, and what of each is seen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias, final

from loraloom.errors import UsageError

Size: TypeAlias = tuple[int, int]
"""Width and height in pixels."""


@final
@dataclass(frozen=True, kw_only=True)
class Fit:
    """How a picture comes into its bucket: scaled to `resized`, which covers `bucket`, and cut."""

    bucket: Size
    resized: Size

    @property
    def cut(self) -> float:
        """The share of the picture that is cut away, 0 to 1."""
        return 1 - math.prod(self.bucket) / math.prod(self.resized)


@final
@dataclass(frozen=True, kw_only=True)
class Bucketing:
    """The rule by which pictures get their sizes, which are multiples of `step`.

    With `by_shape` a picture goes to the size of about the area of `resolution` that is nearest to
    its own shape, with sides from `smallest` to `largest`; otherwise all have the `resolution`.
    With `no_upscale` none is made larger: those that are smaller keep their size, cut to multiples
    of `step`, and `smallest` and `largest` count for nothing.

    Equal to sd-scripts' `make_bucket_resolutions` and `BucketManager.select_bucket`, but that a
    side shorter than one step is scaled up to it.
    """

    resolution: Size
    step: int
    smallest: int
    largest: int
    by_shape: bool = True
    no_upscale: bool = False

    def __post_init__(self) -> None:
        """Raise UsageError for bounds that, brought to the step, leave the resolution out."""
        shorter, longer = min(self.resolution), max(self.resolution)
        smallest, largest = self._bounds
        within = smallest <= shorter and longer <= largest
        if self.by_shape and not self.no_upscale and not within:
            raise UsageError(
                "bucket.bounds",
                smallest=self.smallest,
                largest=self.largest,
                resolution="x".join(map(str, self.resolution)),
                shorter=shorter,
                longer=longer,
            )

    @property
    def _bounds(self) -> Size:
        """The bounds as multiples of the step: the smaller rounded down, the larger up."""
        return self.smallest // self.step * self.step, -(-self.largest // self.step) * self.step

    @cached_property
    def sizes(self) -> tuple[Size, ...]:
        """The sizes there are, sorted; without upscaling any multiple of the step may be one."""
        return tuple(sorted({self.resolution} if not self.by_shape else set(self._listed())))

    def fit(self, width: int, height: int) -> Fit:
        """Return how a picture of a size comes into its bucket."""
        if self.by_shape and self.no_upscale:
            return self._not_enlarged(width, height)
        if not self.by_shape:
            bucket = self.resolution
        elif (width, height) in self.sizes:
            bucket = (width, height)
        else:
            shape = width / height
            bucket = min(self.sizes, key=lambda size: abs(size[0] / size[1] - shape))
        return Fit(bucket=bucket, resized=_covering(width, height, bucket))

    def _listed(self) -> Iterator[Size]:
        area, step = self.resolution[0] * self.resolution[1], self.step
        side = max(step, int(math.sqrt(area) // step) * step)
        yield side, side
        smallest, largest = self._bounds
        for width in range(max(smallest, step), largest + 1, step):
            height = min(largest, area // width // step * step)
            if height >= max(smallest, step):
                yield width, height
                yield height, width

    def _not_enlarged(self, width: int, height: int) -> Fit:
        resized, shape = (width, height), width / height
        area = self.resolution[0] * self.resolution[1]
        if width * height > area:
            wide = self._rounded(math.sqrt(area * shape))
            high = self._rounded(area / math.sqrt(area * shape))
            by_width = wide / self._rounded(wide / shape)
            by_height = self._rounded(high * shape) / high
            if abs(by_width - shape) < abs(by_height - shape):
                resized = (wide, _nearest(wide / shape))
            else:
                resized = (_nearest(high * shape), high)
        bucket = (self._cut(resized[0]), self._cut(resized[1]))
        if min(resized) < self.step:
            resized = _covering(*resized, bucket)
        return Fit(bucket=bucket, resized=resized)

    def _rounded(self, length: float) -> int:
        return self._cut(_nearest(length))

    def _cut(self, length: int) -> int:
        return max(self.step, length - length % self.step)


def _covering(width: int, height: int, bucket: Size) -> Size:
    """Return the size that a picture is scaled to so that it just covers its bucket."""
    wider = width / height > bucket[0] / bucket[1]
    scale = bucket[1] / height if wider else bucket[0] / width
    return max(_nearest(width * scale), bucket[0]), max(_nearest(height * scale), bucket[1])


def _nearest(length: float) -> int:
    return int(length + 0.5)
