"""How latent-diffusion counts a UNet's layers through, and diffusers counts them by block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, final

from loraloom.formats.naming.rule import AbstractNumbering
from loraloom.formats.naming.template import Numbers

# The places of a UNet that are counted in their own way.
DOWN_RESNET: Final = "down resnet"
DOWN_ATTENTION: Final = "down attention"
DOWNSAMPLER: Final = "downsampler"
MID_RESNET: Final = "mid resnet"
MID_ATTENTION: Final = "mid attention"
UP_RESNET: Final = "up resnet"
UP_ATTENTION: Final = "up attention"
UPSAMPLER: Final = "upsampler"

_DOWN: Final = frozenset({DOWN_RESNET, DOWN_ATTENTION, DOWNSAMPLER})
_SAMPLERS: Final = frozenset({DOWNSAMPLER, UPSAMPLER})
_MID: Final[Mapping[str, int]] = MappingProxyType({MID_RESNET: 0, MID_ATTENTION: 1})


@final
@dataclass(frozen=True)
class UNetLayout(AbstractNumbering):
    """What the counting depends on: layers in each down block, and the up blocks with attention.

    With L layers a down block has L resnets and a downsampler, an up block L + 1 resnets. So
    latent-diffusion has L + 1 entries to a block: `input_blocks.{1 + b(L+1) + l}` is layer l of
    `down_blocks.b`, the entry after its last layer the downsampler, and
    `output_blocks.{b(L+1) + l}` is layer l of `up_blocks.b`. Within an entry the resnet is 0 and
    the attention 1; an upsampler comes after them in its block's last entry, as 2 where the block
    has attention, else as 1. The middle takes resnets and attentions in turn.
    """

    layers: int
    attention_up: frozenset[int]

    def ours(self, zone: str, numbers: Numbers) -> Numbers | None:
        if zone in _MID:
            block, remainder = divmod(numbers[0], 2)
            return (block, *numbers[1:]) if remainder == _MID[zone] else None
        entry, place, *rest = numbers
        block, layer = divmod(entry - (zone in _DOWN), self.layers + 1)
        if block < 0 or place != self._place(zone, block) or layer not in self._layers(zone):
            return None
        return (block, *rest) if zone in _SAMPLERS else (block, layer, *rest)

    def theirs(self, zone: str, numbers: Numbers) -> Numbers | None:
        if zone in _MID:
            return (2 * numbers[0] + _MID[zone], *numbers[1:])
        block, *rest = numbers
        layer = self.layers if zone in _SAMPLERS else rest.pop(0)
        place = self._place(zone, block)
        if place is None or layer not in self._layers(zone):
            return None
        return (block * (self.layers + 1) + layer + (zone in _DOWN), place, *rest)

    def _layers(self, zone: str) -> range:
        """Return the layers of a block where the zone can be."""
        if zone in _SAMPLERS:
            return range(self.layers, self.layers + 1)
        return range(self.layers if zone in _DOWN else self.layers + 1)

    def _place(self, zone: str, block: int) -> int | None:
        """Return the place of the zone within its entry; None if the block has none."""
        if zone == UPSAMPLER:
            return 2 if block in self.attention_up else 1
        if zone == UP_ATTENTION:
            return 1 if block in self.attention_up else None
        return 1 if zone == DOWN_ATTENTION else 0
