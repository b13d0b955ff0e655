"""FLUX.1."""

from __future__ import annotations

from typing import Final

from loraloom.formats.naming import published
from loraloom.formats.naming.clip import CLIP, HIDDEN, ROOT
from loraloom.formats.naming.family import Family
from loraloom.formats.naming.flux_transformer import FLUX_NATIVE, FLUX_TRANSFORMER
from loraloom.formats.naming.network import Network, Width
from loraloom.formats.naming.t5 import T5

FLUX: Final = Family(
    name="flux",
    networks=(
        Network(
            part="transformer",
            grammar=FLUX_TRANSFORMER,
            prefixes=("lora_unet", "oft_unet", "lora_transformer", "lycoris"),
            dotted_prefixes=("diffusion_model", ""),
            native=FLUX_NATIVE,
            is_natively_trained=True,
            published=published.FLUX_TRANSFORMERS,
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
        # kohya counts T5 third, as in Stable Diffusion 3; OneTrainer counts it second.
        Network(
            part="text_encoder_2",
            grammar=T5,
            prefixes=("lora_te3", "lora_te2"),
            dotted_prefixes=("text_encoders.t5xxl.transformer",),
            published=(published.T5_XXL,),
        ),
    ),
    base_model_version="flux1",
    architecture="flux-1",
    implementation="https://github.com/black-forest-labs/flux",
    versions=("flux",),
)
