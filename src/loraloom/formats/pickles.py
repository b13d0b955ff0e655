"""Old adapter files that are pickles: read as plain tensors, never executed."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from loraloom.errors import ModelError


def read_pickle(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a `.pt`, `.bin` or `.ckpt` file.

    Only torch's restricted unpickler is used, which builds tensors and plain containers; a file
    that asks for anything else is refused, whatever it would have run.
    """
    try:
        with warnings.catch_warnings():
            # torch warns of newer pickles, which it then reads or refuses all the same.
            warnings.simplefilter("ignore", UserWarning)
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError("file.pickle_refused", path=path, reason=_asked_for(error)) from error
    except (OSError, RuntimeError, ValueError, EOFError, LookupError, AttributeError) as error:
        raise ModelError("file.unreadable", path=path, reason=_reason(error)) from error
    if not isinstance(content, dict):
        raise ModelError("file.no_tensors", path=path, found=type(content).__name__)
    for key, value in cast("dict[Any, Any]", content).items():
        if not (isinstance(key, str) and isinstance(value, Tensor)):
            raise ModelError("file.no_tensors", path=path, found=f"{key!r}: {type(value).__name__}")
    return cast("dict[str, Tensor]", content)


def _asked_for(error: Exception) -> str:
    """Return what a refused pickle asked for; torch's own words advise to open it unsafely."""
    found = re.search(r"GLOBAL (\S+)", str(error))
    return found[1] if found else "torch's weights_only"


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
