"""The first diffusers spelling, of its attention processors (up to version 0.20)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final, final

from loraloom.adapters.site import Site, canonical_path
from loraloom.adapters.span import Place, Span
from loraloom.formats.codec import AbstractCodec, Claim, Naming, Spelling
from loraloom.formats.contents import Config, Contents
from loraloom.formats.endings import Ending, Endings
from loraloom.formats.naming.meaning import Holder, Meaning
from loraloom.formats.outline import Layer, Outline
from loraloom.formats.rearrangement import AS_IS

_ENDINGS: Final = Endings(
    (Ending("down.weight", "down", "lora"), Ending("up.weight", "up", "lora"))
)


@final
@dataclass(frozen=True)
class _Network:
    """A network's names: what is read, what is written, and what the projections are called."""

    pattern: re.Pattern[str]
    template: str
    projections: Mapping[str, str]


_NETWORKS: Final[Mapping[str, _Network]] = MappingProxyType(
    {
        "unet": _Network(
            re.compile(
                r"(?:unet\.)?(?P<attention>[^/]+\.attn[12])\.processor"
                r"\.to_(?P<name>[qkv]|out)_lora"
            ),
            "unet.{attention}.processor.to_{name}_lora",
            {"q": "to_q", "k": "to_k", "v": "to_v", "out": "to_out.0"},
        ),
        "text_encoder": _Network(
            re.compile(
                r"text_encoder\.(?P<attention>[^/]+\.self_attn)\.to_(?P<name>[qkv]|out)_lora"
            ),
            "text_encoder.{attention}.to_{name}_lora",
            {"q": "q_proj", "k": "k_proj", "v": "v_proj", "out": "out_proj"},
        ),
    }
)


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

    def naming(self, outline: Outline) -> Naming:
        return _holder

    def spell(self, place: Place, layer: Layer, part: str) -> Spelling | None:
        ending = _ENDINGS.of(part, layer.layout.stems) if layer.scale == 1 else None
        return None if ending is None else Spelling(f".{ending.text}", AS_IS)

    def spell_word(self, word: str, part: str) -> Spelling | None:
        """diffusers refuses files with embeddings in them."""
        return None

    def header(self, outline: Outline) -> tuple[dict[str, str], Config]:
        return {"format": "pt"}, None


def _claim(key: str) -> Claim | None:
    split = _ENDINGS.split(key)
    if split is None:
        return None
    name, ending = split
    for part, network in _NETWORKS.items():
        if match := network.pattern.fullmatch(name):
            module = f"{match['attention']}.{network.projections[match['name']]}"
            site = Site(part, canonical_path(part, f"{module}.weight"))
            return Claim(Meaning(sites=(site,)), ending)
    return None


def _holder(place: Place) -> Holder | None:
    if isinstance(place, Span) or place.part not in _NETWORKS or place.parameter != "weight":
        return None
    network = _NETWORKS[place.part]
    for name, projection in network.projections.items():
        attention = place.module.removesuffix(f".{projection}")
        key = network.template.format(attention=attention, name=name)
        if attention != place.module and network.pattern.fullmatch(key):
            return Holder(key, Meaning(sites=(place,)))
    return None
