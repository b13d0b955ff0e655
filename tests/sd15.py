"""Stable Diffusion 1.5's networks without their numbers: all that names and shapes need.

The model libraries are imported late: see `tiny_base`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel


def sd15_unet() -> UNet2DConditionModel:
    """Return the U-Net on the meta device; what is not said here is diffusers' default."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        return UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)


def sd15_text_encoder() -> CLIPTextModel:
    """Return the text encoder on the meta device."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        bos_token_id=0,
        eos_token_id=2,
    )
    with torch.device("meta"):
        return CLIPTextModel(config)
