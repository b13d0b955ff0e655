"""A checkpoint on its way into a file, held one tensor at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, final

import torch

from loraloom.composing.checkpoint import Checkpoint
from loraloom.errors import ModelError
from loraloom.formats.header import METADATA, framed
from loraloom.formats.tensor_file import dtype_name

_BLOCK: Final = 16 << 20


@final
class CheckpointFile:
    """A safetensors file as blocks of bytes, to be gone through as often as one likes.

    Tensors lie in the checkpoint's order and are read as their turn comes. A number type that the
    format lacks is a `ModelError`; so is a tensor that is not what the checkpoint said.
    """

    def __init__(self, checkpoint: Checkpoint, metadata: Mapping[str, str]) -> None:
        self._checkpoint = checkpoint
        entries: dict[str, object] = {METADATA: dict(sorted(metadata.items()))} if metadata else {}
        at = 0
        for name, stored in checkpoint.items():
            dtype = dtype_name(stored.dtype)
            if dtype is None:
                raise ModelError("composing.number_type", name=name, dtype=stored.dtype)
            end = at + stored.bytes
            entries[name] = {"dtype": dtype, "shape": stored.shape, "data_offsets": [at, end]}
            at = end
        self._header = framed(entries)
        self.size = len(self._header) + at
        """How many bytes the file will have."""

    def __iter__(self) -> Iterator[bytes | memoryview]:
        yield self._header
        for name, stored in self._checkpoint.items():
            tensor = stored.read()
            if tensor.dtype != stored.dtype or tuple(tensor.shape) != stored.shape:
                raise ModelError(
                    "composing.changed_tensor",
                    name=name,
                    expected=f"{stored.dtype} {stored.shape}",
                    found=f"{tensor.dtype} {tuple(tensor.shape)}",
                )
            if tensor.numel():
                plain = tensor.detach().cpu().contiguous().reshape(-1)
                content = plain.view(torch.uint8).numpy().data
                yield from (content[at : at + _BLOCK] for at in range(0, len(content), _BLOCK))
