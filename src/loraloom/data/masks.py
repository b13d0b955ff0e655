"""Masks: which parts of a picture are learnt, and how much."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from loraloom.data.augment import View
from loraloom.data.mask_values import mask_values
from loraloom.data.shot import Shot


def load_mask(shot: Shot, view: View, width: int, height: int) -> Float[Tensor, "1 height width"]:
    """Return how much each cell of a view's latents counts; it raises as `mask_values`."""
    return torch.tensor(mask_values(shot, view, width, height))[None]
