"""PiSSA: LoRA factors that begin as the largest part of the weight itself."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from loraloom.adapters.delta import wide
from loraloom.adapters.lora import Lora


def pissa(weight: Float[Tensor, "out in *kernel"], rank: int, alpha: float) -> Lora:
    """Return factors of the nearest matrix of that rank: scale * up @ down, in float32.

    What is trained is meant to replace that part: `residual` gives the rest of the weight, and
    `relative_to_base` says the trained factors as a LoRA of the untouched weight.
    Source: arXiv 2404.02948, equations 2 and 3; compared with PEFT's `init_lora_weights="pissa"`.
    """
    exact = weight.detach().to(wide(weight))
    u, values, vh = cast(
        tuple[Tensor, Tensor, Tensor],
        torch.linalg.svd(exact.flatten(1), full_matrices=False),
    )
    rank = min(rank, values.numel())  # there are no more parts
    roots = (values[:rank] * (rank / alpha)).sqrt()
    down = (roots[:, None] * vh[:rank]).view(-1, *weight.shape[1:])
    up = (u[:, :rank] * roots).view(weight.shape[0], -1, *(1 for _ in weight.shape[2:]))
    return Lora(down.contiguous(), up.contiguous(), alpha)
