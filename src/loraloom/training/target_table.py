"""Which blocks of a network get an adapter, kohya's choice; no network is needed to ask."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, final


@final
@dataclass(frozen=True, kw_only=True)
class Blocks:
    """Blocks whose linear layers and convolutions get an adapter.

    By their classes, and by where these stand in the networks of Stable Diffusion 1.x.
    """

    part: str
    classes: tuple[str, ...]
    places: re.Pattern[str]


ALWAYS: Final[Mapping[str, Blocks]] = MappingProxyType(
    {
        blocks.part: blocks
        for blocks in (
            Blocks(
                part="unet",
                classes=("Transformer2DModel",),
                places=re.compile(r".*\.attentions\.\d+\..*"),
            ),
            Blocks(
                part="text_encoder",
                classes=("CLIPAttention", "CLIPSdpaAttention", "CLIPMLP"),
                places=re.compile(r".*\.(self_attn|mlp)\..*"),
            ),
        )
    }
)
"""Part -> blocks whose linear layers and 1x1 convolutions are adapted."""

WITH_CONVOLUTIONS: Final[Mapping[str, Blocks]] = MappingProxyType(
    {
        "unet": Blocks(
            part="unet",
            classes=("ResnetBlock2D", "Downsample2D", "Upsample2D"),
            places=re.compile(r".*\.(resnets|downsamplers|upsamplers)\.\d+\..*"),
        )
    }
)
"""Part -> blocks that are adapted too once a convolution rank is asked for."""


def adapted_blocks(part: str, *, convolutions: bool) -> Iterator[Blocks]:
    """Yield the blocks of a part that are adapted; none for a part that is no such network."""
    for table in (ALWAYS, WITH_CONVOLUTIONS) if convolutions else (ALWAYS,):
        if part in table:
            yield table[part]
