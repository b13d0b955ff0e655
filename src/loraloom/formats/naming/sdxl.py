"""Stable Diffusion XL, base and refiner."""

from __future__ import annotations

from typing import Final

from loraloom.formats.naming import published
from loraloom.formats.naming.clip import CLIP, CLIP_WITH_PROJECTION, HIDDEN, ROOT
from loraloom.formats.naming.family import Family
from loraloom.formats.naming.network import Network, Width
from loraloom.formats.naming.unet import CONTEXT, UNET_XL, UNET_XL_LDM

SDXL: Final = Family(
    name="sdxl",
    networks=(
        Network(
            part="unet",
            grammar=UNET_XL,
            prefixes=("lora_unet", "oft_unet", "lycoris"),
            dotted_prefixes=("diffusion_model", ""),
            native=UNET_XL_LDM,
            is_natively_trained=True,
            width=Width(2048, CONTEXT),
            published=(published.UNET_XL, published.UNET_REFINER),
        ),
        Network(
            part="text_encoder",
            grammar=CLIP,
            prefixes=("lora_te1",),
            dotted_prefixes=("text_encoders.clip_l.transformer",),
            root=ROOT,
            is_rootless=True,
            width=Width(768, HIDDEN),
            published=(published.CLIP_L,),
        ),
        Network(
            part="text_encoder_2",
            grammar=CLIP_WITH_PROJECTION,
            prefixes=("lora_te2",),
            dotted_prefixes=("text_encoders.clip_g.transformer",),
            root=ROOT,
            width=Width(1280, HIDDEN),
            published=(published.CLIP_G,),
        ),
    ),
    base_model_version="sdxl_base_v1-0",
    architecture="stable-diffusion-xl-v1-base",
    implementation="https://github.com/Stability-AI/generative-models",
    versions=("sdxl", "stable-diffusion-xl"),
)
