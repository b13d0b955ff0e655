"""LoHa: the entrywise product of two low-rank matrices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Final, Self, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from loraloom.adapters.delta import NO_SETTINGS, AbstractDelta, Settings
from loraloom.adapters.factors import check_names, check_settings, frozen, matrix, unfit
from loraloom.adapters.initialisations import normal
from loraloom.adapters.operation import Operation

_NAMES: Final = ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")


@final
class Loha(AbstractDelta):
    """delta(W) = (alpha / rank) * (w1_a @ w1_b) * (w2_a @ w2_b), entry by entry.

    `w*_a` is (out, rank), `w*_b` (rank, in * kernel area) or (rank, in, *kernel): most files have
    it flat, so that only the weight tells the kernel. In the Tucker form `w*_a` is (rank, out),
    `w*_b` (rank, in), `t*` (rank, rank, *kernel), and each factor of the product is
    sum over i, j of t[i, j, k] w_a[i, o] w_b[j, p]. Its rank is up to rank squared.
    Source: FedPara, arXiv 2108.06098, proposition 1; the Tucker form is its proposition 3.
    """

    kind: ClassVar[str] = "loha"

    def __init__(
        self,
        w1: tuple[Tensor, Tensor],
        w2: tuple[Tensor, Tensor],
        alpha: float,
        t: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.w1_a, self.w1_b = frozen(w1[0]), frozen(w1[1])
        self.w2_a, self.w2_b = frozen(w2[0]), frozen(w2[1])
        self.t1, self.t2 = (None, None) if t is None else (frozen(t[0]), frozen(t[1]))
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
        tucker: bool = False,
    ) -> Self:
        """Return an untrained delta: `w2_a` zero, the rest normal with LyCORIS's deviations.

        Those are 1 for `w*_b` and 0.1 for `w1_a` and `t*`. `tucker` gives convolutions of more
        than one pixel the Tucker form.
        """
        fan_out, fan_in, *kernel = shape
        tucker = tucker and any(side != 1 for side in kernel)
        tall = (rank, fan_out) if tucker else (fan_out, rank)
        wide = (rank, fan_in) if tucker else (rank, fan_in * math.prod(kernel))
        w1_b, w1_a, w2_b = (
            normal(size, deviation, generator).to(dtype)
            for size, deviation in ((wide, 1.0), (tall, 0.1), (wide, 1.0))
        )
        t = None
        if tucker:
            t1, t2 = (normal((rank, rank, *kernel), 0.1, generator).to(dtype) for _ in range(2))
            t = (t1, t2)
        return cls((w1_a, w1_b), (torch.zeros(tall, dtype=dtype), w2_b), alpha, t)

    @classmethod
    def from_parts(
        cls, parts: Mapping[str, Tensor], alpha: float | None, settings: Settings = NO_SETTINGS
    ) -> Self:
        tucker = frozenset(_NAMES[4:]) if "t1" in parts or "t2" in parts else frozenset[str]()
        check_names(cls.kind, parts, frozenset(_NAMES[:4]) | tucker)
        check_settings(cls.kind, settings, {})
        w1, w2 = (parts["w1_a"], parts["w1_b"]), (parts["w2_a"], parts["w2_b"])
        t = (parts["t1"], parts["t2"]) if tucker else None
        rank = w1[1].shape[0] if w1[1].ndim else 0
        if not rank or _outline(w1, t and t[0], rank) is None:
            raise unfit(cls.kind, parts)
        if _outline(w1, t and t[0], rank) != _outline(w2, t and t[1], rank):
            raise unfit(cls.kind, parts)
        return cls(w1, w2, float(rank) if alpha is None else alpha, t)

    def parts(self) -> dict[str, Tensor]:
        held = {name: getattr(self, name) for name in _NAMES}
        return {name: tensor.data for name, tensor in held.items() if tensor is not None}

    @property
    def alpha(self) -> float:
        return self._alpha

    @property
    def rank(self) -> int:
        return self.w1_b.shape[0]

    @property
    def scale(self) -> float:
        """alpha / rank: what the product is multiplied by."""
        return self._alpha / self.rank

    @property
    def claimed_shape(self) -> tuple[int, ...]:
        if self.t1 is not None:
            return (self.w1_a.shape[1], self.w1_b.shape[1], *self.t1.shape[2:])
        return (self.w1_a.shape[0], *self.w1_b.shape[1:])

    def fits(self, shape: tuple[int, ...]) -> bool:
        flat = (*shape[:1], math.prod(shape[1:])) == self.claimed_shape
        return super().fits(shape) or (self.t1 is None and flat)

    def delta(self, weight: Float[Tensor, "out ..."] | None) -> Float[Tensor, "out ..."]:
        exact = self.precision
        one = _product(self.w1_a.to(exact) * self.scale, self.w1_b.to(exact), self.t1)
        two = _product(self.w2_a.to(exact), self.w2_b.to(exact), self.t2)
        return (one * two).view(self.claimed_shape if weight is None else weight.shape)

    def branch(
        self,
        x: Shaped[Tensor, "batch ..."],
        y: Float[Tensor, "batch ..."],
        weight: Float[Tensor, "out ..."],
        operation: Operation,
    ) -> Float[Tensor, "batch ..."] | None:
        if operation.kind != "embedding" or self.t1 is not None:
            return None
        one, two = (
            F.embedding(x, matrix(a, y.dtype)) @ matrix(b, y.dtype)
            for a, b in ((self.w1_a, self.w1_b), (self.w2_a, self.w2_b))
        )
        return one * two * self.scale


def _outline(w: tuple[Tensor, Tensor], t: Tensor | None, rank: int) -> tuple[int, ...] | None:
    """Return the shape of a factor of the product; None if its tensors do not belong together."""
    a, b = w
    if min(a.ndim, b.ndim) < 2 or b.shape[0] != rank:
        return None
    if t is not None:
        fits = a.ndim == b.ndim == 2 < t.ndim and {a.shape[0], *t.shape[:2]} == {rank}
        return (a.shape[1], b.shape[1], *t.shape[2:]) if fits else None
    fits = a.shape[1] == rank and all(side == 1 for side in a.shape[2:])
    return (a.shape[0], *b.shape[1:]) if fits else None


def _product(a: Tensor, b: Tensor, t: Tensor | None) -> Tensor:
    if t is None:
        return a.flatten(1) @ b.flatten(1)
    outer = torch.einsum("ij...,io->oj...", t.to(a.dtype), a)
    return torch.einsum("oj...,jp->op...", outer, b)
