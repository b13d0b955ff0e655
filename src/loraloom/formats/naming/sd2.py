"""Stable Diffusion 2.x: linear projections around attention, and OpenCLIP's text encoder.

The text encoder is ViT-H, of whose 24 layers 23 are used.
"""

from __future__ import annotations

from typing import Final

from loraloom.formats.naming.clip import CLIP, HIDDEN, ROOT
from loraloom.formats.naming.family import Family
from loraloom.formats.naming.network import Network, Width
from loraloom.formats.naming.published import CLIP_H, UNET_2
from loraloom.formats.naming.unet import CONTEXT, UNET, UNET_LDM

SD2: Final = Family(
    name="sd2",
    networks=(
        Network(
            part="unet",
            grammar=UNET,
            prefixes=("lora_unet", "oft_unet", "lycoris"),
            dotted_prefixes=("diffusion_model", ""),
            native=UNET_LDM,
            width=Width(1024, CONTEXT),
            published=(UNET_2,),
        ),
        Network(
            part="text_encoder",
            grammar=CLIP,
            prefixes=("lora_te", "lora_te1"),
            dotted_prefixes=("text_encoders.clip_h.transformer",),
            root=ROOT,
            is_rootless=True,
            width=Width(1024, HIDDEN),
            published=(CLIP_H,),
        ),
    ),
    base_model_version="sd_v2",
    architecture="stable-diffusion-v2-512",
    implementation="diffusers",
    versions=("sd_v2", "stable-diffusion-v2"),
    is_v2=True,
)
