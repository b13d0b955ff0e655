"""The orders in which the first LoRA trainer came across the layers of Stable Diffusion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, final

from loraloom.adapters.site import Site

_CONTEXTS: Final = (768, 1024)
"""The widths of the conditioning of Stable Diffusion 1 and 2."""
_BLOCKS: Final = (
    *(f"down_blocks.{block}.attentions.{layer}" for block in range(3) for layer in range(2)),
    *(f"up_blocks.{block}.attentions.{layer}" for block in range(1, 4) for layer in range(3)),
    "mid_block.attentions.0",
)
"""The middle comes last, as the UNet's class declares it."""
_ATTENTION: Final = ("to_q", "to_k", "to_v", "to_out.0")
_FIRST: Final = tuple(f"attn1.{name}" for name in _ATTENTION)
_SECOND: Final = tuple(f"attn2.{name}" for name in _ATTENTION)
_GATE: Final = "ff.net.0.proj"
_CONTEXT: Final = ("attn2.to_k", "attn2.to_v")
_ENCODER_LAYERS: Final = (12, 23, 24)
"""CLIP's of Stable Diffusion 1, OpenCLIP's of 2, of which one may be left out."""


@final
@dataclass(frozen=True)
class Order:
    """Sites by number, and what shape the weight of each must have.

    `gates` are eight times as high as wide, `contexts` as wide as the conditioning; all others are
    square.
    """

    sites: tuple[Site, ...]
    gates: frozenset[int] = frozenset()
    contexts: frozenset[int] = frozenset()

    def fits(self, weights: Mapping[int, tuple[int | None, ...]]) -> bool:
        """Whether these are all layers, in shapes that they can have."""
        if set(weights) != set(range(len(self.sites))):
            return False
        widths = {weights[index][1] for index in self.contexts}
        return (
            len(widths) <= 1
            and widths <= set(_CONTEXTS)
            and all(
                index in self.contexts or _is(weight, 8 if index in self.gates else 1)
                for index, weight in weights.items()
            )
        )


def _is(weight: tuple[int | None, ...], times: int) -> bool:
    rows, columns = weight[0], weight[1]
    return len(weight) == 2 and columns is not None and rows == times * columns


def _unet(names: tuple[str, ...]) -> Order:
    """Return the order of a UNet whose transformer blocks have layers in the order of `names`."""
    modules = [f"{block}.transformer_blocks.0.{name}" for block in _BLOCKS for name in names]
    return Order(
        tuple(Site("unet", f"{module}.weight") for module in modules),
        frozenset(i for i, module in enumerate(modules) if module.endswith(_GATE)),
        frozenset(i for i, module in enumerate(modules) if module.endswith(_CONTEXT)),
    )


def _encoder(count: int) -> Iterator[Site]:
    for layer in range(count):
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            module = f"text_model.encoder.layers.{layer}.self_attn.{name}"
            yield Site("text_encoder", f"{module}.weight")


# diffusers moved the feed-forward layers behind the second attention in its version 0.4.
UNETS: Final = (_unet((*_FIRST, _GATE, *_SECOND)), _unet((*_FIRST, *_SECOND, _GATE)))
TEXT_ENCODERS: Final = tuple(Order(tuple(_encoder(count))) for count in _ENCODER_LAYERS)
