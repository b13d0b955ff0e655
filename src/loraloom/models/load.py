"""A base model by name: a diffusers folder, a checkpoint file, or a repository of the hub."""

# huggingface_hub is only partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch

from loraloom.errors import ModelError
from loraloom.models.model import AbstractModel
from loraloom.models.sd1.load import load_file, load_folder

_Loader = Callable[[Path, str, torch.device, torch.dtype], AbstractModel]

FAMILIES: Final[Mapping[str, _Loader]] = MappingProxyType({"StableDiffusionPipeline": load_folder})
"""Pipeline class of `model_index.json` -> loader of such a folder."""

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HUB_FILES = ("*.json", "*.txt", "*/diffusion_pytorch_model.safetensors", "*/model.safetensors")
_CHECKPOINTS = (".safetensors", ".ckpt")


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
    path = Path(source)
    if path.is_file():
        if path.suffix not in _CHECKPOINTS:
            raise ModelError("model.not_checkpoint", path=path)
        return load_file(path, title or path.stem, device, dtype, config)
    if path.is_dir():
        return _load_folder(path, title or path.name, device, dtype)
    if _HUB_NAME.fullmatch(str(source)):
        return _load_folder(_download(str(source)), title or str(source), device, dtype)
    raise ModelError("model.unknown", name=source)


def _load_folder(
    folder: Path, title: str, device: torch.device, dtype: torch.dtype
) -> AbstractModel:
    index = folder / "model_index.json"
    if not index.is_file():
        raise ModelError("model.no_index", path=folder)
    try:
        content: Any = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError("model.unreadable", path=index, reason=error) from error
    pipeline = str(content["_class_name"]) if "_class_name" in content else ""
    if pipeline not in FAMILIES:
        raise ModelError("model.family", path=folder, found=pipeline, known=", ".join(FAMILIES))
    return FAMILIES[pipeline](folder, title, device, dtype)


def _download(name: str) -> Path:
    """Return the local snapshot of a hub repository, fetching what is not there yet."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES)))
    except LocalEntryNotFoundError as error:
        raise ModelError("model.offline", name=name) from error
    except HfHubHTTPError as error:
        raise ModelError("model.hub", name=name, reason=error) from error
