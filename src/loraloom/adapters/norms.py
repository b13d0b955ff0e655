"""Norms of a weight's rows or columns after a low-rank update, without forming the update."""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from loraloom.adapters.channels import ROWS


def norms(weight: Float[Tensor, "out in *kernel"], axis: int) -> Float[Tensor, " width"]:
    """Return the norm of every row, or of every column with all of its kernel."""
    pixels = weight.flatten(2) if weight.ndim > 2 else weight.unsqueeze(-1)
    others = (1, 2) if axis == ROWS else (0, 2)
    return cast(Tensor, torch.linalg.vector_norm(pixels, dim=others))


def updated_norms(
    weight: Float[Tensor, "out in *kernel"],
    down: Float[Tensor, "rank in *kernel"],
    up: Float[Tensor, "out rank *ones"],
    axis: int,
) -> Float[Tensor, " width"]:
    """Return norms(weight + up @ down) as the root of |W|^2 + 2 <W, BA> + |BA|^2.

    The relative error is about epsilon * (|W| + |BA|)^2 / |W + BA|^2, as good as that of the sum
    itself unless an update takes nearly all of a row away. Nothing as large as the weight is
    made for the gradient, so that training takes a half to a ninth of the time on a CPU.
    """
    matrix, a, b = weight.flatten(1), down.flatten(1), up.flatten(1)
    if axis == ROWS:
        cross = (_times(matrix, a.mT) * b).sum(1)
        own = ((b @ (a @ a.mT)) * b).sum(1)
    else:
        each_pixel = (down.shape[0], weight.shape[1], -1)
        cross = (_times(matrix.mT, b).mT * a).view(each_pixel).sum((0, 2))
        own = (((b.mT @ b) @ a) * a).view(each_pixel).sum((0, 2))
    square = norms(weight.to(down.dtype), axis).square() + 2 * cross + own
    return square.clamp_min(torch.finfo(down.dtype).tiny).sqrt()


def _times(weight: Tensor, thin: Tensor) -> Tensor:
    """Return weight @ thin in the precision of `thin`."""
    return cast(Tensor, _Times.apply(weight, thin))


class _Times(torch.autograd.Function):
    """A product that keeps the weight for the gradient in its own precision, not a wider copy."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, thin: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        return weight.to(thin.dtype) @ thin

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[None, Tensor]:
        (weight,), (gradient,) = ctx.saved_tensors, grad_outputs
        return None, weight.to(gradient.dtype).mT @ gradient
