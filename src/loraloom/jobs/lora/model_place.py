"""Where a whole model lies: the packaged one, a path, or a repository of the hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from loraloom.adapters.site import PARTS
from loraloom.errors import ModelError
from loraloom.models.hub import download
from loraloom.models.source import is_hub_name
from loraloom.playground.packaged import base_folder

PLAYGROUND: Final = "playground"
_CHECKPOINTS: Final = (".safetensors", ".ckpt", ".pt", ".bin")
_STEMS: Final = ("diffusion_pytorch_model", "model")
_SHARDS: Final = tuple(f"{stem}{which}.safetensors" for stem in _STEMS for which in ("", "-*-of-*"))
_NETWORKS: Final = (
    "*.json",
    *_SHARDS,
    *(f"{part}/{file}" for part in PARTS for file in _SHARDS),
)
"""The weights that adapters are for, of diffusers' folders and transformers'; no variants."""
_WHOLE: Final = (*_NETWORKS, "*.txt", "*.model", "*.jinja", *(f"*/{file}" for file in _SHARDS))
"""All that makes such a folder a model: tokenizers and the other networks too."""


def place_of_model(name: str, *, whole: bool = False) -> tuple[Path, str]:
    """Return the folder or file of a model by name, and its title.

    `name` is `playground`, a path, or a repository of the hub, of which the networks that adapters
    are for are fetched if they are not on this machine, or the `whole`. What is none of these, and
    what the hub does not have or cannot be asked for, is a `ModelError`.
    """
    place = local_place(name)
    if place is not None:
        return place, name if name == PLAYGROUND else place.stem
    if Path(name).suffix in _CHECKPOINTS or not is_hub_name(name):
        raise ModelError("lora.no_model", name=name)
    return download(name, _WHOLE if whole else _NETWORKS), name


def local_place(name: str) -> Path | None:
    """Return the folder or file of a model that is on this machine by that name; else None."""
    path = base_folder() if name == PLAYGROUND else Path(name)
    return path if os.path.exists(path) else None
