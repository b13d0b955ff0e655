"""Stable Diffusion 1.x."""

from __future__ import annotations

from typing import Final

from loraloom.formats.naming.clip import CLIP, HIDDEN, ROOT
from loraloom.formats.naming.family import Family
from loraloom.formats.naming.network import Network, Width
from loraloom.formats.naming.published import CLIP_L, PLAYGROUND_CLIP, PLAYGROUND_UNET, UNET_1
from loraloom.formats.naming.unet import CONTEXT, UNET, UNET_LDM

SD1: Final = Family(
    name="sd1",
    networks=(
        Network(
            part="unet",
            grammar=UNET,
            prefixes=("lora_unet", "oft_unet", "lycoris"),
            dotted_prefixes=("diffusion_model", ""),
            native=UNET_LDM,
            width=Width(768, CONTEXT),
            published=(UNET_1, PLAYGROUND_UNET),
        ),
        # diffusers' own converter says lora_te1 whatever the family.
        Network(
            part="text_encoder",
            grammar=CLIP,
            prefixes=("lora_te", "lora_te1"),
            dotted_prefixes=("text_encoders.clip_l.transformer",),
            root=ROOT,
            is_rootless=True,
            width=Width(768, HIDDEN),
            published=(CLIP_L, PLAYGROUND_CLIP),
        ),
    ),
    base_model_version="sd_v1",
    architecture="stable-diffusion-v1",
    implementation="diffusers",
    versions=("sd_v1", "stable-diffusion-v1"),
)
