"""Stable Diffusion 1.x from a diffusers folder or a single checkpoint file.

Convolutions keep their channels last in memory, which is faster on processors.
"""

# The model classes of diffusers and transformers are only partly typed.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors import SafetensorError
from transformers import CLIPTextModel, CLIPTokenizer

from loraloom.errors import ModelError, ran_out_of_memory
from loraloom.models.configuration import read_object
from loraloom.models.quiet import without_progress_bars
from loraloom.models.sd1.parts import inspect_folder
from loraloom.models.sd1.stable_diffusion import StableDiffusion

# What the libraries raise on configurations and weights that are not what they claim to be.
_DAMAGE: Final = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    SafetensorError,
)


def load_folder(
    folder: Path, title: str, device: torch.device, dtype: torch.dtype
) -> StableDiffusion:
    """Load the parts of a diffusers folder; a missing or broken part is a `ModelError`."""
    inspect_folder(folder)
    settings: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
    try:
        unet: Any = UNet2DConditionModel.from_pretrained(
            folder, subfolder="unet", torch_dtype=dtype, **settings
        )
        vae: Any = AutoencoderKL.from_pretrained(
            folder, subfolder="vae", torch_dtype=dtype, **settings
        )
        with without_progress_bars():
            text_encoder: Any = CLIPTextModel.from_pretrained(
                folder, subfolder="text_encoder", dtype=dtype, **settings
            )
        tokenizer = CLIPTokenizer.from_pretrained(
            folder, subfolder="tokenizer", local_files_only=True
        )
    except _DAMAGE as error:
        if ran_out_of_memory(error):
            raise
        raise ModelError("model.unreadable", path=folder, reason=error) from error
    return StableDiffusion(
        unet=unet.to(device, memory_format=torch.channels_last),
        vae=vae.to(device, memory_format=torch.channels_last),
        text_encoder=text_encoder.to(device),
        tokenizer=tokenizer,
        scheduler_config=read_object(folder / "scheduler" / "scheduler_config.json"),
        title=title,
        weight_files=tuple(sorted((folder / "unet").glob("*.safetensors"))),
    )


def load_file(
    path: Path, title: str, device: torch.device, dtype: torch.dtype, config: Path | None
) -> StableDiffusion:
    """Load a single-file checkpoint in the original (LDM) layout.

    Such a file holds no configuration and no tokenizer: `config` is a diffusers folder of the
    same architecture to take them from; without it they come from the hub, by diffusers' rules.
    """
    # Imported here because it brings image processors that folders never need.
    from diffusers import StableDiffusionPipeline

    source: dict[str, Any] = {} if config is None else {"config": str(config)}
    try:
        pipeline: Any = StableDiffusionPipeline.from_single_file(
            str(path),
            torch_dtype=dtype,
            safety_checker=None,
            local_files_only=config is not None,
            **source,
        )
    except _DAMAGE as error:
        if ran_out_of_memory(error):
            raise
        raise ModelError("model.single_file", path=path, reason=error) from error
    return StableDiffusion(
        unet=pipeline.unet.to(device, memory_format=torch.channels_last),
        vae=pipeline.vae.to(device, memory_format=torch.channels_last),
        text_encoder=pipeline.text_encoder.to(device),
        tokenizer=pipeline.tokenizer,
        scheduler_config=dict(pipeline.scheduler.config),
        title=title,
        weight_files=(path,),
    )
