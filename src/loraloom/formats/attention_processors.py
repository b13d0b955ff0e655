"""The first diffusers spelling, of its attention processors (up to version 0.20)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, final

from loraloom.adapters.site import Site, canonical_path
from loraloom.formats.card import card_entry
from loraloom.formats.codec import AbstractCodec, Claim
from loraloom.formats.contents import Config, Contents
from loraloom.formats.outline import Outline


@final
@dataclass(frozen=True)
class _Network:
    """A network's keys: what is read, what is written, and what the projections are called."""

    pattern: re.Pattern[str]
    template: str
    projections: Mapping[str, str]


_NETWORKS: Final[Mapping[str, _Network]] = {
    "unet": _Network(
        re.compile(
            r"(?:unet\.)?(?P<attention>[^/]+\.attn[12])\.processor"
            r"\.to_(?P<name>[qkv]|out)_lora\.(?P<part>down|up)\.weight"
        ),
        "unet.{attention}.processor.to_{name}_lora.{part}.weight",
        {"q": "to_q", "k": "to_k", "v": "to_v", "out": "to_out.0"},
    ),
    "text_encoder": _Network(
        re.compile(
            r"text_encoder\.(?P<attention>[^/]+\.self_attn)"
            r"\.to_(?P<name>[qkv]|out)_lora\.(?P<part>down|up)\.weight"
        ),
        "text_encoder.{attention}.to_{name}_lora.{part}.weight",
        {"q": "q_proj", "k": "k_proj", "v": "v_proj", "out": "out_proj"},
    ),
}


@final
class AttentionProcessors(AbstractCodec):
    """`unet.….attn1.processor.to_q_lora.down.weight`: attention only, always at scale 1.

    `unet.` may be missing. Source: diffusers 0.20, models/attention_processor.py.
    """

    name: ClassVar[str] = "diffusers-attn-procs"
    description: ClassVar[str] = "attention processors of old diffusers; attention layers only"
    is_folder: ClassVar[bool] = False
    is_hashed: ClassVar[bool] = False

    def claims(self, contents: Contents) -> Mapping[str, Claim]:
        return {key: claim for key in contents.shapes if (claim := _claim(key))}

    def alphas(self, contents: Contents, ranks: Mapping[Site, int]) -> Mapping[Site, float]:
        return {}

    def spell(self, outline: Outline, site: Site, part: str) -> str | None:
        if site.part not in _NETWORKS or outline.layers[site].scale != 1:
            return None
        network = _NETWORKS[site.part]
        for name, projection in network.projections.items():
            attention = site.module.removesuffix(f".{projection}")
            key = network.template.format(attention=attention, name=name, part=part)
            if attention != site.module and network.pattern.fullmatch(key):
                return key
        return None

    def header(self, outline: Outline) -> tuple[dict[str, str], Config]:
        return {"format": "pt"} | card_entry(outline.card), None


def _claim(key: str) -> Claim | None:
    for part, network in _NETWORKS.items():
        if match := network.pattern.fullmatch(key):
            module = f"{match['attention']}.{network.projections[match['name']]}"
            return Claim(Site(part, canonical_path(part, f"{module}.weight")), match["part"])
    return None
