"""Where to compute and in what precision, from what the user said."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import torch

from loraloom.errors import UsageError

DTYPES: Final[Mapping[str, torch.dtype]] = MappingProxyType(
    {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
)
"""Name in options -> type."""


def precision_of(name: str, device: torch.device) -> str:
    """Return the name that `auto` stands for on a device; other names stand for themselves."""
    dtype = choose_dtype(name, device)
    return next(each for each, known in DTYPES.items() if known == dtype)


def choose_device(name: str) -> torch.device:
    """Return the device of a name; `auto` takes CUDA, then MPS, then the CPU."""
    if name == "auto":
        name = "cpu"
        if torch.cuda.is_available():
            name = "cuda"
        elif torch.backends.mps.is_available():
            name = "mps"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError("device.unusable", device=name, reason=reason) from error
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the type of a name; `auto` takes bf16 on CUDA devices made for it, else fp32."""
    if name != "auto":
        return DTYPES[name]
    good = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if good else torch.float32
