"""The header of a safetensors file, read strictly and without touching the tensors."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Final, cast, final

from loraloom.errors import ModelError
from loraloom.formats.excerpt import shown
from loraloom.formats.strangers import sort_of_bytes
from loraloom.formats.strict_json import parse_object

METADATA: Final = "__metadata__"
_LENGTH_BYTES: Final = 8
_ALIGNMENT: Final = 8
_LARGEST_HEADER: Final = 50_000_000
_MOST_TENSORS: Final = 100_000
"""Every expert of the largest language models adapted alone makes some 72,000."""
_START_BYTES: Final = 512
_LONGEST_NAME: Final = 1000
_MOST_DIMENSIONS: Final = 16
_LARGEST_DIMENSION: Final = 2**48

_BYTES: Final[Mapping[str, int]] = MappingProxyType(
    {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1}
    | {"U16": 2, "I16": 2, "F16": 2, "BF16": 2}
    | {"U32": 4, "I32": 4, "F32": 4}
    | {"U64": 8, "I64": 8, "F64": 8, "C64": 8}
)
"""Number types of the safetensors format and the bytes of one number."""


def _unpacked(form: str) -> Callable[[bytes], float]:
    return lambda data: float(struct.unpack(form, data)[0])


def _e4m3(data: bytes) -> float:
    """Four bits of exponent and three of fraction, without infinities. Source: arXiv 2209.05433."""
    (byte,) = data
    sign, exponent, fraction = (-1 if byte & 0x80 else 1), byte >> 3 & 0xF, byte & 0x7
    if byte & 0x7F == 0x7F:
        return math.nan
    return sign * math.ldexp(fraction + (8 if exponent else 0), max(exponent, 1) - 10)


def _e8m0(data: bytes) -> float:
    """A power of two: eight bits of exponent alone. Source: OCP Microscaling Formats, 1.0."""
    (byte,) = data
    return math.nan if byte == 0xFF else math.ldexp(1.0, byte - 127)


_DECODERS: Final[Mapping[str, Callable[[bytes], float]]] = MappingProxyType(
    {
        "F64": _unpacked("<d"),
        "F32": _unpacked("<f"),
        "F16": _unpacked("<e"),
        # bfloat16 is the upper half of a float32.
        "BF16": lambda data: float(struct.unpack("<f", b"\0\0" + data)[0]),
        "F8_E4M3": _e4m3,
        # The upper half of a float16.
        "F8_E5M2": lambda data: float(struct.unpack("<e", b"\0" + data)[0]),
        "F8_E8M0": _e8m0,
        "I64": _unpacked("<q"),
        "I32": _unpacked("<i"),
        "I16": _unpacked("<h"),
        "I8": _unpacked("<b"),
        "U64": _unpacked("<Q"),
        "U32": _unpacked("<I"),
        "U16": _unpacked("<H"),
        "U8": _unpacked("<B"),
        "BOOL": lambda data: float(data != b"\0"),
    }
)


@final
@dataclass(frozen=True)
class Entry:
    """One tensor: its number type, its shape, and its bytes, counted from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@final
@dataclass(frozen=True, kw_only=True)
class Header:
    """All tensors of a file, its metadata, and where the tensors' bytes begin in it."""

    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]
    data_start: int


class _Broken(ValueError):
    """Why a file is no safetensors file."""


def read_header(path: Path) -> Header:
    """Read and check a header; any disagreement with the file is a `ModelError`.

    Tensors must lie one after the other and fill the file, as the format demands: nothing can
    overlap, and nothing can be hidden in between.
    """
    try:
        # To open a pipe would wait for somebody to write into it.
        if path.exists() and not path.is_file():
            raise ModelError("file.unreadable", path=path, reason="no regular file")
        with path.open("rb") as file:
            return _parse(file, os.fstat(file.fileno()).st_size)
    except FileNotFoundError as error:
        raise ModelError("file.missing", path=path) from error
    except OSError as error:
        raise ModelError("file.unreadable", path=path, reason=error.strerror) from error
    except ValueError as error:
        sort = sort_of_bytes(_start(path))
        if sort is not None:
            raise ModelError(sort, path=path) from error
        raise ModelError("file.not_safetensors", path=path, reason=shown(error)) from error


def read_numbers(path: Path, header: Header, names: Iterable[str]) -> dict[str, float]:
    """Return the values of tensors of one number; another tensor is a `ModelError`."""
    numbers: dict[str, float] = {}
    with path.open("rb", buffering=0) as file:
        for name in names:
            entry = header.entries[name]
            if entry.count != 1 or entry.dtype not in _DECODERS:
                found = f"{entry.dtype} {entry.shape}"
                raise ModelError("format.alpha", where=path, key=shown(name), found=found)
            file.seek(header.data_start + entry.begin)
            numbers[name] = _DECODERS[entry.dtype](file.read(entry.end - entry.begin))
    return numbers


def framed(entries: Mapping[str, object]) -> bytes:
    """Return a header as it stands in a file: its length, its JSON, and blanks to align."""
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text


def _parse(file: BinaryIO, size: int) -> Header:
    prefix = file.read(_LENGTH_BYTES)
    if len(prefix) < _LENGTH_BYTES:
        raise _Broken(f"only {len(prefix)} bytes")
    length = int.from_bytes(prefix, "little")
    if length > size - _LENGTH_BYTES:
        raise _Broken(f"a header of {length} bytes in a file of {size}")
    if length > _LARGEST_HEADER:
        raise _Broken(f"a header of {length} bytes, more than {_LARGEST_HEADER}")
    text = file.read(length)
    if text.count(b"data_offsets") > _MOST_TENSORS:
        raise _Broken(f"more than {_MOST_TENSORS} tensors")
    content = parse_object(text)
    metadata = _metadata(content.pop(METADATA, {}))
    entries = {name: _entry(name, entry) for name, entry in content.items()}
    data_start = _LENGTH_BYTES + length
    _check_order(entries, size - data_start)
    return Header(
        entries=MappingProxyType(entries),
        metadata=MappingProxyType(metadata),
        data_start=data_start,
    )


def _metadata(content: Any) -> dict[str, str]:
    if not isinstance(content, dict):
        raise _Broken("the metadata is no JSON object")
    content = cast("dict[str, Any]", content)
    for name, value in content.items():
        if not isinstance(value, str):
            raise _Broken(f"the metadata's {name!r} is no text")
        value.encode("utf-8")
    return content


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_START_BYTES)


def _entry(name: str, content: Any) -> Entry:
    if len(name) > _LONGEST_NAME:
        raise _Broken(f"a name of {len(name)} characters")
    match content:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [begin, end], **rest}:
            numbers = [*shape, begin, end]
        case _:
            raise _Broken(f"the entry of {name!r} is malformed")
    if rest or not all(type(number) is int and number >= 0 for number in numbers):
        raise _Broken(f"the entry of {name!r} is malformed")
    if dtype not in _BYTES:
        raise _Broken(f"{name!r} has the unknown number type {dtype!r}")
    entry = Entry(dtype, tuple(numbers[:-2]), begin, end)
    if len(entry.shape) > _MOST_DIMENSIONS or any(s > _LARGEST_DIMENSION for s in entry.shape):
        raise _Broken(f"{name!r} has an absurd shape")
    if entry.count * _BYTES[dtype] != end - begin:
        raise _Broken(f"{name!r} of shape {list(entry.shape)} does not take {end - begin} bytes")
    return entry


def _check_order(entries: Mapping[str, Entry], size: int) -> None:
    at = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != at:
            raise _Broken(f"{name!r} begins at byte {entry.begin} of the data instead of {at}")
        at = entry.end
    if at != size:
        raise _Broken(f"the tensors take {at} bytes, the file has {size}")
