"""The UNet of Stable Diffusion 1, 2 and XL, in diffusers' names and in latent-diffusion's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from loraloom.formats.naming.grammar import Grammar
from loraloom.formats.naming.renaming import Renaming
from loraloom.formats.naming.rule import Rule, renamed
from loraloom.formats.naming.unet_evidence import derive_layout
from loraloom.formats.naming.unet_layout import (
    DOWN_ATTENTION,
    DOWN_RESNET,
    DOWNSAMPLER,
    MID_ATTENTION,
    MID_RESNET,
    UP_ATTENTION,
    UP_RESNET,
    UPSAMPLER,
    UNetLayout,
)

_TRANSFORMER: Final = Grammar(
    """
      norm
    | proj_in
    | proj_out
    | transformer_blocks.# .
      ( (attn1 | attn2) . (to_q | to_k | to_v | to_out.0)
      | ff.net . (0.proj | 2)
      | norm1
      | norm2
      | norm3
      )
    """
)
"""What an attention block is made of, in both spellings."""

_RESNET: Final = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}

UNET: Final = Grammar(
    f"""
      conv_in
    | conv_norm_out
    | conv_out
    | time_embedding . (linear_1 | linear_2)
    | (down_blocks.# | mid_block | up_blocks.#) .
      ( attentions.# . ({"|".join(_TRANSFORMER.names)})
      | resnets.# . ({"|".join(_RESNET.values())})
      )
    | down_blocks.#.downsamplers.0.conv
    | up_blocks.#.upsamplers.0.conv
    """
)
UNET_XL: Final = Grammar(f"{'|'.join(UNET.names)} | add_embedding . (linear_1 | linear_2)")

CONTEXT: Final = (".attn2.to_k", ".attn2.to_v")
"""The modules whose input is as wide as the conditioning."""

_LDM: Final = {
    "input_blocks.0.0": "conv_in",
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_ADDED: Final = {
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
}


def _ldm_rules(names: Mapping[str, str]) -> Iterator[Rule]:
    yield from renamed(names)
    yield from _blocks("input_blocks.#.#", "down_blocks.#", DOWN_RESNET, DOWN_ATTENTION)
    yield from _blocks("middle_block.#", "mid_block", MID_RESNET, MID_ATTENTION)
    yield from _blocks("output_blocks.#.#", "up_blocks.#", UP_RESNET, UP_ATTENTION)
    samplers = {"input_blocks.#.#.op": "down_blocks.#.downsamplers.0.conv"}
    yield from renamed(samplers, DOWNSAMPLER)
    samplers = {"output_blocks.#.#.conv": "up_blocks.#.upsamplers.0.conv"}
    yield from renamed(samplers, UPSAMPLER)


def _blocks(theirs: str, ours: str, resnet: str, attention: str) -> Iterator[Rule]:
    resnets = {f"{theirs}.{name}": f"{ours}.resnets.#.{own}" for name, own in _RESNET.items()}
    attentions = {f"{theirs}.{name}": f"{ours}.attentions.#.{name}" for name in _TRANSFORMER.names}
    yield from renamed(resnets, resnet)
    yield from renamed(attentions, attention)


def _ldm(names: Mapping[str, str], *published: UNetLayout) -> Renaming:
    return Renaming("unet", _ldm_rules(names), partial(derive_layout, published=published))


# Latent-diffusion's names, which checkpoints have, and kohya's files for XL. Source:
# CompVis/latent-diffusion, ldm/modules/diffusionmodules/openaimodel.py. The published layouts are
# those of 1 and 2, of XL, and of XL's refiner.
UNET_LDM: Final = _ldm(_LDM, UNetLayout(layers=2, attention_up=frozenset({1, 2, 3})))
UNET_XL_LDM: Final = _ldm(
    _LDM | _ADDED,
    UNetLayout(layers=2, attention_up=frozenset({0, 1})),
    UNetLayout(layers=2, attention_up=frozenset({1, 2})),
)
