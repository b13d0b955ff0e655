"""How PEFT ends the names of tensors, and shapes them, when folders are written."""

from __future__ import annotations

from typing import Final

from loraloom.adapters.site import Site
from loraloom.adapters.span import Place
from loraloom.formats.codec import Spelling
from loraloom.formats.endings import PEFT, PEFT_TABLE
from loraloom.formats.layout import MAGNITUDE
from loraloom.formats.outline import Layer
from loraloom.formats.rearrangement import AS_IS, Shape

_EMBEDDINGS: Final = frozenset(
    {"embed_tokens", "token_embedding", "position_embedding", "shared", "wte", "wpe"}
)
"""What embeddings are called in the networks of the known families, and in GPT-2's."""


def spell_peft(place: Place, layer: Layer, part: str) -> Spelling | None:
    """Return the ending and shape of a part; None for what PEFT has no way to say.

    That is whatever is no update of a module's weight, and LoRA's middle factor. The bias of a
    module with a LoRA is `lora_bias`, the bias of its second factor.
    """
    site = place.sites[0]
    if site.parameter == "bias":
        ending = PEFT.of(part, layer.layout.stems, "bias")
        return None if ending is None else Spelling(f".{ending.text}", AS_IS, None, ending.scaled)
    if site.parameter != "weight":
        return None
    endings = PEFT_TABLE if is_embedding(site) else PEFT
    ending = endings.of(part, layer.layout.stems)
    if ending is None:
        return None
    return Spelling(f".{ending.text}", ending.rearrangement, _shape(part, layer))


def is_embedding(site: Site) -> bool:
    """Whether a module looks up rows instead of multiplying, by its name."""
    return site.module.rpartition(".")[2] in _EMBEDDINGS


def has_peft_axis(place: Place, layer: Layer) -> bool:
    """Whether a magnitude, if there is one, lies along the axis that PEFT's does.

    It is one of the outputs, but of an embedding, whose weight PEFT sees transposed, of the inputs.
    """
    usual = "input" if is_embedding(place.sites[0]) else "output"
    return layer.settings.get("axis", usual) == usual


def _shape(part: str, layer: Layer) -> Shape | None:
    """Return the shape of a vector that PEFT keeps among dimensions of 1."""
    sides = len(layer.weight) - 2
    if part == MAGNITUDE:
        size = max(layer.shapes[MAGNITUDE])
        return (1, size, *(1 for _ in range(sides))) if sides > 0 else (size,)
    if part == "scale":
        own = layer.shapes[part]
        size = max(own)
        if len(own) > 2:
            return (1, size, *(1 for _ in own[2:]))
        return (1, size) if layer.settings.get("on_input") else (size, 1)
    if part == "rescale":
        own = layer.shapes[part]
        return (1, max(own)) if len(own) > 2 else (max(own), 1)
    return None
