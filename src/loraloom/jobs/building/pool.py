"""Endless rendered pictures by number, kept on disk once drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from loraloom.playground.captions import caption
from loraloom.playground.scenes import Scene, sample_scene
from loraloom.playground.styles import render

SIDE = 128
"""Width and height of every picture, in pixels."""

_CHUNK = 250


@final
@dataclass(frozen=True, kw_only=True)
class Pool:
    """`count` pictures of the world: number i always shows the same scene in the same style.

    Styles take turns by number. With `held_out` False no picture shows a combination that is kept
    for measuring. Pictures lie in `folder` as one array file per chunk, so that drawing can stop
    and go on at any time.
    """

    folder: Path
    seed: int
    count: int
    styles: Sequence[str]
    held_out: bool | None = False
    pair_share: float = 0.15

    def scene(self, number: int) -> tuple[Scene, str, str]:
        """Return scene, style and caption of one picture."""
        generator = np.random.default_rng([self.seed, number])
        scene = sample_scene(generator, held_out=self.held_out, pair_share=self.pair_share)
        return scene, self.styles[number % len(self.styles)], caption(scene, generator)

    def draw(self) -> Iterator[int]:
        """Draw what is missing, on all cores; yield the number of pictures that are there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        starts = range(0, self.count, _CHUNK)
        missing = [start for start in starts if not self._chunk(start).exists()]
        with ProcessPoolExecutor() as workers:
            done = self.count - len(missing) * _CHUNK
            for _ in workers.map(self._draw_chunk, missing):
                done += _CHUNK
                yield done

    def pixels(self) -> NDArray[np.uint8]:
        """Return all pictures, (count, height, width, 3)."""
        starts = range(0, self.count, _CHUNK)
        return np.concatenate([np.load(self._chunk(start)) for start in starts])

    def _chunk(self, start: int) -> Path:
        return self.folder / f"{start:07d}.npy"

    def _draw_chunk(self, start: int) -> None:
        numbers = range(start, min(start + _CHUNK, self.count))
        pictures = [render(scene, style, SIDE) for scene, style, _ in map(self.scene, numbers)]
        unfinished = self._chunk(start).with_suffix(".part.npy")
        np.save(unfinished, np.stack(pictures))
        unfinished.replace(self._chunk(start))
