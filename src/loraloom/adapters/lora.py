"""LoRA: a low-rank update, for linear layers and convolutions (LoCon)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Self, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.operation import Operation
from loraloom.errors import ModelError


@final
class Lora(AbstractDelta):
    """delta(W) = (alpha / rank) * up @ down.

    `down` is (rank, in) for a linear layer and (rank, in, kh, kw) for a convolution, `up` is
    (out, rank) or (out, rank, 1, 1). Source: arXiv 2106.09685, equation 3; the convolution form
    is LoCon's without the middle factor.
    """

    kind: ClassVar[str] = "lora"

    def __init__(
        self,
        down: Float[Tensor, "rank in *kernel"],
        up: Float[Tensor, "out rank *ones"],
        alpha: float,
    ) -> None:
        super().__init__()
        self.down = nn.Parameter(down, requires_grad=False)
        self.up = nn.Parameter(up, requires_grad=False)
        self._alpha = alpha

    @classmethod
    def fresh(
        cls,
        shape: tuple[int, ...],
        rank: int,
        alpha: float,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> Self:
        """Return an untrained delta for a weight of `shape`: `down` random, `up` zero.

        `down` is Kaiming-uniform with a = sqrt(5), that is uniform in +-1/sqrt(fan_in), as kohya's
        and PEFT's are. The draw happens on the CPU in float32, so that a seed means the same
        numbers on every device.
        """
        fan_out, *fan_in = shape
        bound = 1 / math.sqrt(math.prod(fan_in))
        down = torch.empty(rank, *fan_in).uniform_(-bound, bound, generator=generator)
        up = torch.zeros(fan_out, rank, *(1 for _ in fan_in[1:]))
        return cls(down.to(dtype), up.to(dtype), alpha)

    @classmethod
    def from_parts(cls, parts: Mapping[str, Tensor], alpha: float | None) -> Self:
        down, up = parts["down"], parts["up"]
        fits = (
            down.ndim == up.ndim
            and down.ndim in (2, 4)
            and up.shape[1] == down.shape[0] > 0
            and all(size == 1 for size in up.shape[2:])
        )
        if not fits:
            raise ModelError("adapter.lora_factors", down=tuple(down.shape), up=tuple(up.shape))
        return cls(down, up, float(down.shape[0]) if alpha is None else alpha)

    def parts(self) -> dict[str, Tensor]:
        return {"down": self.down.data, "up": self.up.data}

    @property
    def alpha(self) -> float:
        return self._alpha

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        """alpha / rank: what the product of the factors is multiplied by."""
        return self._alpha / self.rank

    @property
    def claimed_shape(self) -> tuple[int | None, ...]:
        return (self.up.shape[0], *self.down.shape[1:])

    def delta(self, weight: Float[Tensor, "out ..."]) -> Float[Tensor, "out ..."]:
        exact = torch.promote_types(torch.float32, self.down.dtype)
        product = self.up.to(exact).flatten(1) @ self.down.to(exact).flatten(1)
        return (self.scale * product).view(self.up.shape[0], *self.down.shape[1:])

    def branch(
        self,
        x: Float[Tensor, "batch ..."],
        y: Float[Tensor, "batch ..."],
        weight: Float[Tensor, "out ..."],
        operation: Operation,
    ) -> Float[Tensor, "batch ..."] | None:
        if operation.groups != 1:
            return None
        inner = operation.apply(x, self.down.to(x.dtype))
        # The factor is scaled, for it is far smaller than the output.
        up = (self.scale * self.up).to(x.dtype)
        return F.linear(inner, up) if operation.kind == "linear" else torch.conv2d(inner, up)
