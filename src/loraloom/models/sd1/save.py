"""Stable Diffusion 1.x to a diffusers folder that every version of diffusers reads alike."""

# The model classes of diffusers and transformers are only partly typed.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from loraloom.adapters.site import canonical_path
from loraloom.models.sd1.stable_diffusion import StableDiffusion

_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.35.0",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDPMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def save_folder(model: StableDiffusion, folder: Path, dtype: torch.dtype) -> None:
    """Write all parts below `folder`, weights in `dtype`, text encoder keys with `text_model.`.

    The configurations say float32 whatever `dtype` is, so that loaders which trust them give all
    parts one type.
    """
    model.unet.save_config(folder / "unet")
    model.vae.save_config(folder / "vae")
    model.tokenizer.save_pretrained(folder / "tokenizer")
    _write_vocabulary(model, folder / "tokenizer")
    text_config = {**model.text_encoder.config.to_dict(), "dtype": "float32"}
    text_config.pop("transformers_version", None)
    text_config |= {"architectures": ["CLIPTextModel"], "torch_dtype": "float32"}
    _write_json(folder / "text_encoder" / "config.json", text_config)
    _write_json(folder / "scheduler" / "scheduler_config.json", model.scheduler_config)
    _write_json(folder / "model_index.json", _INDEX)
    text_states: Mapping[str, Tensor] = {
        canonical_path("text_encoder", name): tensor
        for name, tensor in model.text_encoder.state_dict().items()
    }
    _write_weights(
        folder / "unet/diffusion_pytorch_model.safetensors", model.unet.state_dict(), dtype
    )
    _write_weights(
        folder / "vae/diffusion_pytorch_model.safetensors", model.vae.state_dict(), dtype
    )
    _write_weights(folder / "text_encoder/model.safetensors", text_states, dtype)


def _write_vocabulary(model: StableDiffusion, folder: Path) -> None:
    """Write vocab.json and merges.txt, which transformers 5 leaves out and older readers need."""
    engine: Any = json.loads(model.tokenizer.backend_tokenizer.to_str())["model"]
    _write_json(folder / "vocab.json", engine["vocab"])
    lines = ["#version: 0.2", *(" ".join(pair) for pair in engine["merges"])]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_weights(path: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    stored = {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in tensors.items()
    }
    save_file(stored, path, metadata={"format": "pt"})


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
