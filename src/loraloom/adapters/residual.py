"""Factors that began as a part of the weight: the rest of that weight, and their change alone."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from loraloom.adapters.lora import Lora


def residual(weight: Float[Tensor, "out ..."], start: Lora) -> Float[Tensor, "out ..."]:
    """Return the base that PiSSA and OLoRA train on: the weight less what the factors began as."""
    return weight.to(start.precision) - start.delta(weight)


def relative_to_base(trained: Lora, start: Lora) -> Lora:
    """Return a LoRA of the untouched weight, of both ranks together: B A - B0 A0.

    Worn on the untouched weight it is what `trained` is worn on `residual(weight, start)`. The
    factors are [A; A0] and [B, -B0]; a difference of the scales goes into B0.
    """
    shared = trained.scale or start.scale or 1.0
    up, began = (
        lora.up.data if lora.scale == shared else lora.up.data * (lora.scale / shared)
        for lora in (trained, start)
    )
    return Lora(
        torch.cat([trained.down.data, start.down.data]),
        torch.cat([up, -began], dim=1),
        shared * (trained.rank + start.rank),
    )
