"""OLoRA: LoRA factors that begin as an orthonormal basis of the weight's first columns."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from loraloom.adapters.delta import wide
from loraloom.adapters.lora import Lora


def olora(weight: Float[Tensor, "out in *kernel"], rank: int, alpha: float) -> Lora:
    """Return the first columns of Q for `up` and rows of R for `down`, W = Q R, in float32.

    What is trained begins at scale * up @ down, which `residual` takes from the weight and
    `relative_to_base` from the trained factors. Source: arXiv 2406.01775, section 3; compared
    with PEFT's `init_lora_weights="olora"`.
    """
    exact = weight.detach().to(wide(weight))
    q, r = cast(tuple[Tensor, Tensor], torch.linalg.qr(exact.flatten(1)))
    down = r[:rank].reshape(-1, *weight.shape[1:])
    up = q[:, :rank].reshape(weight.shape[0], -1, *(1 for _ in weight.shape[2:]))
    return Lora(down, up, alpha)
