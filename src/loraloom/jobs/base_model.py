"""The base model of a job, by the name the user gave."""

from __future__ import annotations

from pathlib import Path

import torch

from loraloom.jobs.device import choose_device, choose_dtype
from loraloom.models.load import load_model
from loraloom.models.model import AbstractModel
from loraloom.playground.packaged import PLAYGROUND, base_folder


def open_model(name: str | Path, device: torch.device, dtype: torch.dtype) -> AbstractModel:
    """Load a base: `playground` is the packaged one, anything else a folder, file or hub name."""
    if str(name) == PLAYGROUND:
        return load_model(base_folder(), device=device, dtype=dtype, title=PLAYGROUND)
    return load_model(name, device=device, dtype=dtype)


def load(
    name: str | Path = PLAYGROUND, *, device: str = "auto", dtype: str = "auto"
) -> AbstractModel:
    """Load a base model by name, with device and type as the command line takes them."""
    place = choose_device(device)
    return open_model(name, place, choose_dtype(dtype, place))
