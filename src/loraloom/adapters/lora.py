"""LoRA: a low-rank update, for linear layers, embeddings and convolutions (LoCon)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self, final

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from loraloom.adapters.channels import mixed
from loraloom.adapters.delta import NO_SETTINGS, AbstractDelta, Settings
from loraloom.adapters.factors import check_names, check_settings, frozen, matrix, unfit
from loraloom.adapters.initialisations import INITIALISATIONS, Initialisation, kaiming
from loraloom.adapters.operation import Operation


def without_middle(parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return factors of the same rank and the same update without LoCon's middle factor.

    That is multiplied into `down`, which is float64 then; parts without one stay as they are.
    """
    rest = {name: part for name, part in parts.items() if name != "mid"}
    if "mid" not in parts:
        return rest
    down, mid = parts["down"].double(), parts["mid"].double()
    return {**rest, "down": torch.einsum("ab...,bi->ai...", mid, down.flatten(1))}


@final
class Lora(AbstractDelta):
    """delta(W) = (alpha / rank) * up @ down.

    `down` is (rank, in) or (rank, in, *kernel), `up` (out, rank) or (out, rank, *ones). With the
    middle factor of LoCon's Tucker form, `mid` (rank, rank, *kernel), `down` covers one pixel:
    delta(W)[o, i, k] = (alpha / rank) * sum over a, b of up[o, a] mid[a, b, k] down[b, i].

    A grouped convolution's weight is (out, in / groups, *kernel), and `down` with it: one for all
    groups. (PEFT's has all the inputs in `down` and groups in `up`, so that every output sees
    every input: no update of that weight can do so.) An embedding's is (vocabulary, width):
    `up` has a row per token. Source: arXiv 2106.09685, equation 3.
    """

    kind: ClassVar[str] = "lora"

    def __init__(
        self,
        down: Float[Tensor, "rank in *kernel"],
        up: Float[Tensor, "out rank *ones"],
        alpha: float,
        mid: Float[Tensor, "rank rank *sides"] | None = None,
    ) -> None:
        super().__init__()
        self.down = frozen(down)
        self.up = frozen(up)
        self.mid = None if mid is None else frozen(mid)
        self._alpha = alpha

    @classmethod
    def fresh(
        cls,
        shape: tuple[int, ...],
        rank: int,
        alpha: float,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
        *,
        weight: Tensor | None = None,
        initialisation: Initialisation = "kaiming",
        tucker: bool = False,
    ) -> Self:
        """Return an untrained delta: `down` (and `mid`) random, `up` zero.

        `tucker` gives convolutions of more than one pixel a middle factor, as LyCORIS does.
        """
        fan_out, fan_in, *kernel = shape
        ones = tuple(1 for _ in kernel)
        tucker = tucker and any(side != 1 for side in kernel)
        draw = INITIALISATIONS[initialisation]
        down = draw((rank, fan_in, *(ones if tucker else kernel)), generator)
        mid = kaiming((rank, rank, *kernel), generator).to(dtype) if tucker else None
        return cls(down.to(dtype), torch.zeros(fan_out, rank, *ones, dtype=dtype), alpha, mid)

    @classmethod
    def from_parts(
        cls, parts: Mapping[str, Tensor], alpha: float | None, settings: Settings = NO_SETTINGS
    ) -> Self:
        check_names(cls.kind, parts, frozenset({"down", "up"}), frozenset({"mid"}))
        check_settings(cls.kind, settings, {})
        down, up, mid = parts["down"], parts["up"], parts.get("mid")
        fits = (
            down.ndim == up.ndim >= 2
            and up.shape[1] == down.shape[0] > 0
            and all(size == 1 for size in up.shape[2:])
        )
        if mid is not None:
            square = mid.shape[:2] == (down.shape[0], down.shape[0])
            fits = fits and square and mid.ndim > 2 and all(size == 1 for size in down.shape[2:])
        if not fits:
            raise unfit(cls.kind, parts)
        return cls(down, up, float(down.shape[0]) if alpha is None else alpha, mid)

    def parts(self) -> dict[str, Tensor]:
        pair = {"down": self.down.data, "up": self.up.data}
        return pair if self.mid is None else {**pair, "mid": self.mid.data}

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
    def claimed_shape(self) -> tuple[int, ...]:
        kernel = self.down.shape[2:] if self.mid is None else self.mid.shape[2:]
        return (self.up.shape[0], self.down.shape[1], *kernel)

    def fitted(self, shape: tuple[int, ...]) -> Self:
        fitting = super().fitted(shape)
        ones = tuple(1 for _ in shape[2:])
        down = self.down.data.reshape(self.rank, *(shape[1:] if self.mid is None else (-1, *ones)))
        up = self.up.data.reshape(-1, self.rank, *ones)
        if down.shape == self.down.shape and up.shape == self.up.shape:
            return fitting
        return type(self)(down, up, self._alpha, None if self.mid is None else self.mid.data)

    def delta(self, weight: Float[Tensor, "out ..."] | None) -> Float[Tensor, "out ..."]:
        exact = self.precision
        down, up = matrix(self.down, exact), matrix(self.up, exact) * self.scale
        if self.mid is not None:
            up = torch.einsum("oa,ab...->ob...", up, self.mid.to(exact))
            product = torch.einsum("ob...,bi->oi...", up, down)
        else:
            product = up @ down
        return product.view(self.claimed_shape if weight is None else weight.shape)

    def low_rank(self) -> tuple[Tensor, Tensor, float] | None:
        return (self.down, self.up, self.scale) if self.mid is None else None

    def branch(
        self,
        x: Shaped[Tensor, "batch ..."],
        y: Float[Tensor, "batch ..."],
        weight: Float[Tensor, "out ..."],
        operation: Operation,
    ) -> Float[Tensor, "batch ..."] | None:
        rank, groups, ones = self.rank, operation.groups, (1 for _ in weight.shape[2:])
        if groups > 1 and (self.mid is not None or rank * groups > weight.shape[0]):
            return None  # the factors of all groups are more than the update itself
        down, up = self.down.to(y.dtype), self.up.to(y.dtype)
        if self.mid is None:
            down, up = down.view(rank, *weight.shape[1:]), up.view(-1, rank, *ones)
            return operation.apply_factors(x, down, up, self.scale)
        inner = operation.apply(mixed(operation, down.flatten(1), x), self.mid.to(y.dtype))
        return mixed(operation, up.flatten(1), inner * self.scale)
