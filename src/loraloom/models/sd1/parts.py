"""The files of a Stable Diffusion 1.x folder, proved as far as can be without their weights."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from loraloom.errors import ModelError
from loraloom.models.configuration import AbstractConfiguration, read_object, understood
from loraloom.models.geometry import Geometry
from loraloom.models.inspection import Inspection
from loraloom.models.schedule import schedule_of

CHECKPOINT_PREFIXES: Final = ("model.diffusion_model.", "first_stage_model.", "cond_stage_model.")
"""How the tensors of each network are called in a checkpoint file of the original layout."""

_PARTS: Final = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
_WEIGHTS: Final = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}
_VOCABULARIES: Final = (("tokenizer.json",), ("vocab.json", "merges.txt"))
"""What a tokenizer is read from: either all of the first or all of the second."""

_TOKENIZER_FILES: Final = (
    "tokenizer.json",
    "vocab.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


class _UNet(AbstractConfiguration):
    """What is left out is as in diffusers' UNet2DConditionModel."""

    sample_size: int = Field(ge=1)
    in_channels: int = Field(4, ge=1)
    block_out_channels: Sequence[int] = Field((320, 640, 1280, 1280), min_length=1)


class _AutoEncoder(AbstractConfiguration):
    """What is left out is as in diffusers' AutoencoderKL."""

    block_out_channels: Sequence[int] = Field((64,), min_length=1)


class _TextEncoder(AbstractConfiguration):
    """What is left out is as in transformers' CLIPTextConfig."""

    num_hidden_layers: int = Field(12, ge=1)


class _ShardIndex(AbstractConfiguration):
    """Which file of several holds each tensor."""

    weight_map: dict[str, str] = Field(min_length=1)


def inspect_folder(folder: Path) -> Inspection:
    """Return what the folder's files say of the base; what is missing or broken is a `ModelError`.

    The libraries take for granted that every JSON file holds an object; here it is proved.
    """
    for part in _PARTS:
        if not os.path.isdir(folder / part):
            raise ModelError("model.part_missing", path=folder, part=part)
    _check_tokenizer(folder / "tokenizer")
    schedule = folder / "scheduler" / "scheduler_config.json"
    return Inspection(
        geometry=geometry_of(
            unet=read_object(folder / "unet" / "config.json"),
            vae=read_object(folder / "vae" / "config.json"),
            text_encoder=read_object(folder / "text_encoder" / "config.json"),
            timesteps=schedule_of(read_object(schedule), schedule).num_train_timesteps,
            where=folder,
        ),
        weights=tuple(
            path for part, name in _WEIGHTS.items() for path in _weights(folder / part / name)
        ),
    )


def geometry_of(
    *,
    unet: Mapping[str, Any],
    vae: Mapping[str, Any],
    text_encoder: Mapping[str, Any],
    timesteps: int,
    where: Path | str,
) -> Geometry:
    """Return the sizes that the parts' configurations tell; `where` is named in errors."""
    denoiser = understood(_UNet, unet, f"{where}/unet/config.json")
    coder = understood(_AutoEncoder, vae, f"{where}/vae/config.json")
    # A whole CLIP model's configuration keeps the text encoder's inside it.
    reader = understood(
        _TextEncoder,
        text_encoder.get("text_config", text_encoder),
        f"{where}/text_encoder/config.json",
    )
    factor = 2 ** (len(coder.block_out_channels) - 1)
    return Geometry(
        channels=denoiser.in_channels,
        latent_factor=factor,
        resolution=denoiser.sample_size * factor,
        resolution_step=factor * 2 ** (len(denoiser.block_out_channels) - 1),
        text_layers=reader.num_hidden_layers,
        timesteps=timesteps,
    )


def _check_tokenizer(folder: Path) -> None:
    if not any(all(os.path.isfile(folder / name) for name in names) for names in _VOCABULARIES):
        raise ModelError("model.file_missing", path=folder / _VOCABULARIES[0][0])
    for path in (folder / name for name in _TOKENIZER_FILES):
        if os.path.isfile(path):
            read_object(path)


def _weights(path: Path) -> Iterator[Path]:
    """Yield the file of a part's weights, or the files that the index in its place names."""
    names: Collection[str] = (path.name,)
    index = path.with_name(f"{path.name}.index.json")
    if os.path.isfile(index) and not os.path.isfile(path):
        names = sorted(set(understood(_ShardIndex, read_object(index), index).weight_map.values()))
    for name in names:
        if not os.path.isfile(path.parent / name):
            raise ModelError("model.file_missing", path=path.parent / name)
        yield path.parent / name
