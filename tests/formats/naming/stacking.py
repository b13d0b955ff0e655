"""Tensors moved between our names and others, as a meaning says."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from loraloom.adapters.site import Site
from loraloom.formats.naming.meaning import Meaning


def stacked(meaning: Meaning, tensors: Mapping[Site, Tensor], columns: int) -> Tensor:
    """Return the tensor that one name holds. `columns` are those of the true weight."""
    tensor = torch.cat([tensors[site] for site in meaning.sites])
    if meaning.halves.swaps(len(tensor), columns):
        tensor = tensor.roll(len(tensor) // 2, 0)
    return tensor.T if meaning.transposed else tensor


def parted(meaning: Meaning, tensor: Tensor, columns: int) -> dict[Site, Tensor]:
    """Return the tensors of our names, the inverse of `stacked`."""
    tensor = tensor.T if meaning.transposed else tensor
    if meaning.halves.swaps(len(tensor), columns):
        tensor = tensor.roll(len(tensor) // 2, 0)
    counts = meaning.rows.counts(len(meaning.sites), len(tensor), columns)
    assert counts is not None
    return dict(zip(meaning.sites, tensor.split(counts), strict=True))
