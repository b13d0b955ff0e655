"""A model's tensors by name, each read when it is asked for: what they are is known before."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias, final

import torch
from torch import Tensor

from loraloom.errors import ModelError
from loraloom.formats.header import Entry, read_header
from loraloom.formats.tensor_file import dtype_named


@final
@dataclass(frozen=True, kw_only=True)
class Stored:
    """One tensor, wherever it lies.

    `memory` is where it begins and ends if it lies in memory, where another may share its place.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    read: Callable[[], Tensor]
    memory: tuple[int, int] | None = None

    @property
    def bytes(self) -> int:
        """How many bytes its numbers take."""
        return math.prod(self.shape) * self.dtype.itemsize


Checkpoint: TypeAlias = Mapping[str, Stored]

PLAIN: Final = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Number types in which a change can be added to a weight; in others a scale may be kept apart."""


def in_memory(tensors: Mapping[str, Tensor]) -> Checkpoint:
    """Return tensors at hand as a checkpoint."""
    return {
        name: Stored(
            dtype=tensor.dtype,
            shape=tuple(tensor.shape),
            read=partial(_itself, tensor),
            memory=_extent(tensor),
        )
        for name, tensor in tensors.items()
    }


def in_file(path: Path) -> Checkpoint:
    """Return the tensors of a safetensors file in the order in which they lie there.

    Only the header is read now; a number type that torch lacks is a `ModelError`.
    """
    header = read_header(path)
    entries = sorted(header.entries.items(), key=lambda item: (item[1].begin, item[1].end))
    checkpoint: dict[str, Stored] = {}
    for name, entry in entries:
        dtype = dtype_named(entry.dtype)
        if dtype is None:
            raise ModelError("composing.number_type", name=name, dtype=entry.dtype)
        read = partial(_read, path, header.data_start, entry, dtype)
        checkpoint[name] = Stored(dtype=dtype, shape=entry.shape, read=read)
    return checkpoint


def _itself(tensor: Tensor) -> Tensor:
    return tensor


def _extent(tensor: Tensor) -> tuple[int, int] | None:
    if not tensor.numel() or tensor.is_meta:
        return None
    strides = zip(tensor.shape, tensor.stride(), strict=True)
    reach = 1 + sum((size - 1) * stride for size, stride in strides)
    return tensor.data_ptr(), tensor.data_ptr() + reach * tensor.itemsize


def _read(path: Path, data_start: int, entry: Entry, dtype: torch.dtype) -> Tensor:
    content = bytearray(entry.end - entry.begin)
    if not content:
        return torch.empty(entry.shape, dtype=dtype)
    try:
        with path.open("rb") as file:
            file.seek(data_start + entry.begin)
            if file.readinto(content) < len(content):
                raise ModelError("file.unreadable", path=path, reason="it was cut off meanwhile")
    except OSError as error:
        raise ModelError("file.unreadable", path=path, reason=error.strerror) from error
    return torch.frombuffer(content, dtype=dtype).view(entry.shape)
