"""Stable Diffusion 1.x: names of the UNet's and the text encoder's layers."""

from __future__ import annotations

from typing import Final

from loraloom.formats.naming.family import Family, Network
from loraloom.formats.naming.grammar import Grammar

_UNET: Final = Grammar(
    """
      conv_in
    | conv_out
    | time_embedding . (linear_1 | linear_2)
    | (down_blocks.# | mid_block | up_blocks.#) .
      ( attentions.# .
        ( proj_in
        | proj_out
        | transformer_blocks.# .
          ( (attn1 | attn2) . (to_q | to_k | to_v | to_out.0)
          | ff.net . (0.proj | 2)
          )
        )
      | resnets.# . (conv1 | conv2 | time_emb_proj | conv_shortcut)
      | (downsamplers | upsamplers).0.conv
      )
    """
)

_TEXT_ENCODER: Final = Grammar(
    """
    text_model.encoder.layers.# .
      ( self_attn . (q_proj | k_proj | v_proj | out_proj)
      | mlp . (fc1 | fc2)
      )
    """
)

SD1: Final = Family(
    name="sd1",
    networks=(
        Network(part="unet", grammar=_UNET, prefixes=("lora_unet",)),
        # diffusers' own converter says lora_te1 whatever the family.
        Network(
            part="text_encoder",
            grammar=_TEXT_ENCODER,
            prefixes=("lora_te", "lora_te1"),
            root="text_model.",
        ),
    ),
    base_model_version="sd_v1",
    architecture="stable-diffusion-v1",
    implementation="diffusers",
)
