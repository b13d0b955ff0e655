"""A safetensors file on its way to the disk, one tensor at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, final

import torch
from torch import Tensor

from loraloom.errors import ModelError
from loraloom.formats.header import METADATA, framed

_BLOCK: Final = 16 << 20

_DTYPES: Final[Mapping[torch.dtype, str]] = MappingProxyType(
    {
        torch.bool: "BOOL",
        torch.uint8: "U8",
        torch.int8: "I8",
        torch.float8_e5m2: "F8_E5M2",
        torch.float8_e4m3fn: "F8_E4M3",
        torch.int16: "I16",
        torch.uint16: "U16",
        torch.float16: "F16",
        torch.bfloat16: "BF16",
        torch.int32: "I32",
        torch.uint32: "U32",
        torch.float32: "F32",
        torch.complex64: "C64",
        torch.float64: "F64",
        torch.int64: "I64",
        torch.uint64: "U64",
    }
)
"""Number types in the order in which the safetensors library lays tensors out, from the end."""

_NO_CASTS: Final[Mapping[str, torch.dtype]] = MappingProxyType({})
_RANKS: Final = MappingProxyType({dtype: -rank for rank, dtype in enumerate(_DTYPES)})


def dtype_name(dtype: torch.dtype) -> str | None:
    """Return what a header calls a number type; None if the format has none such."""
    return _DTYPES.get(dtype)


def dtype_named(name: str) -> torch.dtype | None:
    """Return the number type that a header means, the inverse of `dtype_name`."""
    return next((dtype for dtype, each in _DTYPES.items() if each == name), None)


@final
class TensorFile:
    """A header and the tensors' bytes, to be gone through as often as one likes.

    Tensors may lie on any device, share memory and have any strides; each is brought into order,
    and into the number type that `casts` asks for, when its turn comes, so that never more than one
    is held twice. The same content always gives the same bytes: metadata are sorted, and tensors
    lie in the order of the safetensors library, wide numbers first and then by name.
    Source: huggingface/safetensors, `prepare`.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        metadata: Mapping[str, str],
        casts: Mapping[str, torch.dtype] = _NO_CASTS,
    ) -> None:
        dtypes = {name: casts.get(name, tensor.dtype) for name, tensor in tensors.items()}
        for name, dtype in dtypes.items():
            if dtype not in _DTYPES:
                raise ModelError("format.dtype", key=name, dtype=dtype)
        order = sorted(tensors, key=lambda name: (_RANKS[dtypes[name]], name.encode()))
        self._tensors = {name: (tensors[name], dtypes[name]) for name in order}
        self._metadata = dict(sorted(metadata.items()))

    @property
    def header(self) -> bytes:
        """Everything before the tensors' bytes."""
        entries: dict[str, object] = {METADATA: self._metadata} if self._metadata else {}
        at = 0
        for name, (tensor, dtype) in self._tensors.items():
            end = at + tensor.numel() * dtype.itemsize
            entries[name] = {
                "dtype": _DTYPES[dtype],
                "shape": list(tensor.shape),
                "data_offsets": [at, end],
            }
            at = end
        return framed(entries)

    @property
    def data(self) -> Iterator[memoryview]:
        """The tensors' bytes, in blocks."""
        for tensor, dtype in self._tensors.values():
            if tensor.numel():
                plain = tensor.detach().cpu().to(dtype).contiguous().reshape(-1)
                content = plain.view(torch.uint8).numpy().data
                yield from (content[at : at + _BLOCK] for at in range(0, len(content), _BLOCK))

    def __iter__(self) -> Iterator[bytes | memoryview]:
        yield self.header
        yield from self.data
