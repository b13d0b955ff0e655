"""The fixed facts of the build: seeds, pools, and where each stage keeps its work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from loraloom.jobs.building.pool import Pool
from loraloom.playground.styles import STYLES

AUTOENCODER_SEED, BASE_SEED, JUDGE_SEED, DECODER_SEED, CAPTIONER_SEED = 1, 2, 3, 4, 5
MERGES = 2000
CAPTIONS_PER_PICTURE = 3


@final
@dataclass(frozen=True)
class Work:
    """The folder of a build, outside the package: pools, checkpoints and logs."""

    folder: Path

    @property
    def all_styles(self) -> Pool:
        """Pictures of every style, for the autoencoder: Stable Diffusion's saw all pictures too."""
        return Pool(
            folder=self.folder / "pool-all",
            seed=1,
            count=9000,
            styles=tuple(STYLES),
            held_out=None,
            pair_share=0.3,
        )

    @property
    def plain(self) -> Pool:
        """Plain pictures without the held-out combinations, for the base."""
        return Pool(folder=self.folder / "pool-plain", seed=2, count=20000, styles=("plain",))

    @property
    def judged(self) -> Pool:
        """Single things in every style, for the judge."""
        return self._single("pool-judge", seed=3, count=24000)

    @property
    def examined(self) -> Pool:
        """Pictures that nothing is trained on, for measuring judge and autoencoder."""
        return self._single("pool-examined", seed=4, count=3000)

    @property
    def recounted(self) -> Pool:
        """Held-out combinations in every style, for measuring the captioner."""
        return Pool(
            folder=self.folder / "pool-recounted",
            seed=6,
            count=3000,
            styles=tuple(STYLES),
            held_out=True,
        )

    def checkpoint_file(self, stage: str) -> Path:
        """Return where a stage's last checkpoint is."""
        return self.folder / f"{stage}.checkpoint.pt"

    def checkpoint(self, stage: str) -> dict[str, Any]:
        """Return a stage's last checkpoint."""
        return torch.load(self.checkpoint_file(stage), weights_only=True)

    def averaged(self, stage: str) -> dict[str, Tensor]:
        """Return the averaged weights that a stage has come to."""
        return self.checkpoint(stage)["average"]

    def _single(self, name: str, seed: int, count: int) -> Pool:
        return Pool(
            folder=self.folder / name,
            seed=seed,
            count=count,
            styles=tuple(STYLES),
            held_out=None,
            pair_share=0.0,
        )
