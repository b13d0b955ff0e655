"""A base model by name, loaded: a diffusers folder, a checkpoint file, or a hub repository."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import torch

from loraloom.models.hub import download
from loraloom.models.model import AbstractModel
from loraloom.models.sd1.load import load_file, load_folder
from loraloom.models.source import find_base

_Loader = Callable[[Path, str, torch.device, torch.dtype], AbstractModel]

LOADERS: Final[Mapping[str, _Loader]] = MappingProxyType({"sd1": load_folder})
"""Family -> loader of a diffusers folder of it."""


def load_model(
    source: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    config: Path | None = None,
    title: str | None = None,
) -> AbstractModel:
    """Load a base model.

    `source` is a diffusers folder, a single checkpoint file in the original layout (`config` then
    names a diffusers folder of the same architecture; without it the hub is asked), or the name of
    a repository on the hub. Anything else, or a part that is missing or broken, is a `ModelError`.
    """
    device = torch.device(device)
    base = find_base(source, title)
    path = base.path
    if path is None:
        path = download(str(source))
        base = find_base(path, base.title)
    if path.is_file():
        return load_file(path, base.title, device, dtype, config)
    return LOADERS[base.family](path, base.title, device, dtype)
