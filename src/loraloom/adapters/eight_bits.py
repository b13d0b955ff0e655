"""Floating-point numbers of eight bits, which torch stores but hardly computes with."""

from __future__ import annotations

import torch
from torch import Tensor


def is_narrow(tensor: Tensor) -> bool:
    """Whether a tensor is of floating-point numbers of eight bits."""
    return tensor.is_floating_point() and tensor.itemsize == 1


def computable(tensor: Tensor) -> Tensor:
    """Return eight-bit numbers in float32, which holds each of them; any others as they are."""
    return tensor.float() if is_narrow(tensor) else tensor


def is_same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are of one number type and shape, and hold equal numbers."""
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and torch.equal(computable(one), computable(other))
    )
