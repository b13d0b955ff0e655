"""What LoRA saves: the numbers it trains against those of the layers it stands for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from torch import nn

from loraloom.adapters.lora_linear import lora_layers


@final
@dataclass(frozen=True, kw_only=True)
class LayerSaving:
    """One linear layer of (rows, columns) with a LoRA of rank `rank`.

    The layer's weight has rows * columns numbers and the LoRA has rank * (rows + columns), which
    for a small layer is not much less, and from rank `break_even` on is no less at all.
    Source: arXiv 2106.09685, section 4.2.
    """

    name: str
    rows: int
    columns: int
    rank: int

    @property
    def full(self) -> int:
        """How many numbers full fine-tuning of the weight would train."""
        return self.rows * self.columns

    @property
    def lora(self) -> int:
        """How many numbers the LoRA trains."""
        return self.rank * (self.rows + self.columns)

    @property
    def ratio(self) -> float:
        """`lora` / `full`; 1 or more where nothing is saved."""
        return self.lora / self.full

    @property
    def break_even(self) -> int:
        """The smallest rank at which LoRA saves nothing."""
        return math.ceil(self.full / (self.rows + self.columns))


@final
@dataclass(frozen=True)
class LoRASavings:
    """The savings of every layer, and over all of them; printed, a table."""

    layers: tuple[LayerSaving, ...]

    @property
    def full(self) -> int:
        """How many numbers full fine-tuning of these layers would train."""
        return sum(layer.full for layer in self.layers)

    @property
    def lora(self) -> int:
        """How many numbers LoRA trains."""
        return sum(layer.lora for layer in self.layers)

    @property
    def ratio(self) -> float:
        """`lora` / `full`; 0 without layers."""
        return self.lora / self.full if self.layers else 0.0

    def __str__(self) -> str:
        width = max([5, *(len(layer.name) for layer in self.layers)])
        head = f"{'layer':{width}} {'full':>14} {'LoRA':>12} {'ratio':>8}  rank even at"
        rows = [
            f"{layer.name:{width}} {layer.full:14,} {layer.lora:12,} {layer.ratio:8.2%}"
            f" {layer.rank:5} {layer.break_even:7}"
            for layer in self.layers
        ]
        total = f"{'total':{width}} {self.full:14,} {self.lora:12,} {self.ratio:8.2%}"
        return "\n".join([head, *rows, total])


def lora_savings(model: nn.Module) -> LoRASavings:
    """Return what the `LoRALinear` layers of a model save, layer by layer."""
    return LoRASavings(
        tuple(
            LayerSaving(
                name=name,
                rows=layer.original.out_features,
                columns=layer.original.in_features,
                rank=layer.lora.rank,
            )
            for name, layer in lora_layers(model)
        )
    )
