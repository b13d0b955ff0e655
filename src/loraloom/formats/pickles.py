"""Old adapter files that are pickles: read as plain tensors, never executed."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor

from loraloom.errors import ModelError
from loraloom.formats.excerpt import shown
from loraloom.formats.pickle_survey import RefusedPickle, survey
from loraloom.formats.strangers import sort_of_bytes

_LONGEST_NAME: Final = 1000
_ZIP: Final = b"PK\x03\x04"
_PICKLES: Final = (b"\x80", _ZIP)
_BROKEN: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
"""What torch raises, one or another, for a file that is damaged or lies about its sizes."""


def read_pickle(path: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a `.pt`, `.bin` or `.ckpt` file; those of a list by their number.

    Only torch's restricted unpickler is used, which builds tensors and plain containers, and only
    after a survey of the file; a file that asks for anything else is refused, whatever it would
    have run.
    """
    try:
        with path.open("rb") as file:
            start = file.read(512)
        if not start.startswith(_PICKLES):
            sort = sort_of_bytes(start)
            if sort is not None:
                raise ModelError(sort, path=path)
        survey(path)
        # Tensors of a zip archive are left on the disk until they are looked at.
        with warnings.catch_warnings():
            # torch warns of newer pickles, which it then reads or refuses all the same.
            warnings.simplefilter("ignore", UserWarning)
            content: Any = torch.load(
                path, map_location="cpu", weights_only=True, mmap=start.startswith(_ZIP)
            )
    except RefusedPickle as error:
        raise ModelError("file.pickle_refused", path=path, reason=_reason(error)) from error
    except pickle.UnpicklingError as error:
        raise ModelError("file.pickle_refused", path=path, reason=_asked_for(error)) from error
    except _BROKEN as error:
        raise ModelError("file.unreadable", path=path, reason=_reason(error)) from error
    tensors = _tensors(path, content)
    _check_sizes(path, tensors)
    return tensors


def _tensors(path: Path, content: Any) -> Mapping[str, Tensor]:
    found = type(content).__name__
    if isinstance(content, list):
        content = {str(number): each for number, each in enumerate(cast("list[Any]", content))}
    if not isinstance(content, dict) or not content:
        raise ModelError("file.no_tensors", path=path, found=found)
    table = cast("dict[Any, Any]", content)
    for key, value in table.items():
        if not isinstance(key, str) or len(key) > _LONGEST_NAME:
            raise ModelError("file.no_tensors", path=path, found=f"{found}: {type(key).__name__}")
        if not isinstance(value, Tensor):
            found = f"{shown(key)}: {type(value).__name__}"
            raise ModelError("file.no_tensors", path=path, found=found)
    return cast("dict[str, Tensor]", table)


def _asked_for(error: Exception) -> str:
    """Return what a refused pickle asked for; torch's own words advise to open it unsafely."""
    found = re.search(r"GLOBAL (\S+)", str(error))
    return found[1] if found else "torch's weights_only"


def _check_sizes(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors that claim more numbers than the file can hold."""
    most = path.stat().st_size
    held, storages = 0, set[int]()
    for key, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
            raise ModelError("file.no_tensors", path=path, found=f"{shown(key)}: {tensor.layout}")
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in storages:
            storages.add(storage.data_ptr())
            held += storage.nbytes()
        if tensor.numel() * tensor.itemsize > storage.nbytes() or held > most:
            reason = f"{shown(key)} claims {tensor.numel()} numbers"
            raise ModelError("file.unreadable", path=path, reason=reason)


def _reason(error: BaseException) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return shown(lines[0])
