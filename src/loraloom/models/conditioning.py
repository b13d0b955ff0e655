"""What a text encoder hands to the network that denoises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

import torch
from jaxtyping import Float
from torch import Tensor


@final
@dataclass(frozen=True)
class Conditioning:
    """The text states of a batch of prompts, one row per prompt."""

    states: Float[Tensor, "batch tokens width"]

    def __len__(self) -> int:
        return self.states.shape[0]

    @classmethod
    def joined(cls, batches: Sequence[Conditioning]) -> Self:
        """Return all rows of several batches, one after the other."""
        return cls(torch.cat([batch.states for batch in batches]))
