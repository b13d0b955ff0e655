"""What a layer does with its weight, as a value, so that an adapter can do the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A linear layer or a 2-d convolution without its weight and bias."""

    kind: Literal["linear", "conv2d"]
    stride: tuple[int, int] = (1, 1)
    padding: str | tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @classmethod
    def of(cls, layer: nn.Module) -> Operation | None:
        """Return the operation of `layer`, or None if no adapter can be worn there."""
        match layer:
            case nn.Linear():
                return cls(kind="linear")
            case nn.Conv2d(padding_mode="zeros"):
                padding = layer.padding
                return cls(
                    kind="conv2d",
                    stride=(layer.stride[0], layer.stride[1]),
                    padding=padding if isinstance(padding, str) else (padding[0], padding[1]),
                    dilation=(layer.dilation[0], layer.dilation[1]),
                    groups=layer.groups,
                )
            case _:
                return None

    def apply(
        self, x: Float[Tensor, "batch ..."], weight: Float[Tensor, "out ..."]
    ) -> Float[Tensor, "batch ..."]:
        """Apply the layer with another weight and no bias."""
        if self.kind == "linear":
            return F.linear(x, weight)
        return torch.conv2d(
            x,
            weight,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )
