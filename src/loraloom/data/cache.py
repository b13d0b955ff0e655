"""The pictures' latents, encoded once and kept in memory for the whole training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias, final

import torch
from jaxtyping import Float
from torch import Tensor

from loraloom.data.pixels import load_pixels
from loraloom.errors import Diverged

Pixels: TypeAlias = Float[Tensor, "batch 3 height width"]
Latents: TypeAlias = Float[Tensor, "batch channels h w"]


@final
class LatentCache:
    """Mean and standard deviation of each picture's latents, in float32 on the CPU.

    Both are kept, rather than one sample, so that each use can draw its own.
    """

    def __init__(self) -> None:
        self._latents: dict[Path, tuple[Tensor, Tensor]] = {}

    def fill(
        self,
        paths: Sequence[Path],
        *,
        width: int,
        height: int,
        encode_image: Callable[[Pixels], tuple[Latents, Latents]],
        batch_size: int = 4,
    ) -> Iterator[int]:
        """Encode the pictures at one size, yielding after each batch how many are done.

        Raises DatasetError for a picture that cannot be decoded, Diverged (naming it) for one
        whose latents are not finite.
        """
        for start in range(0, len(paths), batch_size):
            chunk = paths[start : start + batch_size]
            pixels = torch.stack([load_pixels(path, width, height) for path in chunk])
            with torch.no_grad():
                means, deviations = encode_image(pixels)
            for path, mean, deviation in zip(chunk, means, deviations, strict=True):
                if not (mean.isfinite().all() and deviation.isfinite().all()):
                    raise Diverged("dataset.latents_not_finite", file=str(path))
                # A copy of its own, so that a row does not keep its whole batch alive.
                self._latents[path] = (_kept(mean), _kept(deviation))
            yield start + len(chunk)

    def latents(self, paths: Sequence[Path]) -> tuple[Latents, Latents]:
        """Return means and standard deviations, one row per path; KeyError if not encoded."""
        means, deviations = zip(*(self._latents[path] for path in paths), strict=True)
        return torch.stack(means), torch.stack(deviations)


def _kept(row: Tensor) -> Tensor:
    return row.detach().to("cpu", torch.float32, copy=True)
