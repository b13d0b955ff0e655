"""Stable Diffusion 3 and 3.5."""

from __future__ import annotations

from typing import Final

from loraloom.formats.naming import published
from loraloom.formats.naming.clip import CLIP_WITH_PROJECTION, HIDDEN, ROOT
from loraloom.formats.naming.family import Family
from loraloom.formats.naming.network import Network, Width
from loraloom.formats.naming.sd3_transformer import SD3_NATIVE, SD3_TRANSFORMER
from loraloom.formats.naming.t5 import T5

SD3: Final = Family(
    name="sd3",
    networks=(
        Network(
            part="transformer",
            grammar=SD3_TRANSFORMER,
            prefixes=("lora_unet", "oft_unet", "lora_transformer", "lycoris"),
            dotted_prefixes=("diffusion_model", ""),
            native=SD3_NATIVE,
            is_natively_trained=True,
            published=published.SD3_TRANSFORMERS,
        ),
        Network(
            part="text_encoder",
            grammar=CLIP_WITH_PROJECTION,
            prefixes=("lora_te1",),
            dotted_prefixes=("text_encoders.clip_l.transformer",),
            root=ROOT,
            width=Width(768, HIDDEN),
            published=(published.CLIP_L_WITH_PROJECTION,),
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
        Network(
            part="text_encoder_3",
            grammar=T5,
            prefixes=("lora_te3",),
            dotted_prefixes=("text_encoders.t5xxl.transformer",),
            published=(published.T5_XXL,),
        ),
    ),
    base_model_version="sd3",
    architecture="stable-diffusion-3",
    implementation="diffusers",
    # kohya's version of a model is its size alone.
    versions=("sd3", "stable-diffusion-3", "medium", "5-medium", "5-large"),
)
