"""The base model of a job, by the name the user gave."""

from __future__ import annotations

from pathlib import Path

import torch

from loraloom.models.load import load_model
from loraloom.models.model import AbstractModel
from loraloom.playground.packaged import base_folder


def open_model(name: str, device: torch.device, dtype: torch.dtype) -> AbstractModel:
    """Load a base: `playground` is the packaged one, anything else a folder, file or hub name."""
    source = base_folder() if name == "playground" else Path(name)
    title = "playground" if name == "playground" else None
    return load_model(source if source.exists() else name, device=device, dtype=dtype, title=title)
