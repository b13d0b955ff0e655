"""LoKr: a Kronecker product."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Self, final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from loraloom.adapters.channels import divided, mixed
from loraloom.adapters.delta import NO_SETTINGS, AbstractDelta, Settings
from loraloom.adapters.factorization import factorization
from loraloom.adapters.factors import check_names, check_settings, frozen, matrix, unfit
from loraloom.adapters.initialisations import kaiming
from loraloom.adapters.operation import Operation

_NAMES: Final = ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")
_FORMS: Final = tuple(
    frozenset(first + second)
    for first in (("w1",), ("w1_a", "w1_b"))
    for second in (("w2",), ("w2_a", "w2_b"), ("w2_a", "w2_b", "t2"))
)


@final
@dataclass(frozen=True, kw_only=True)
class Division:
    """How a weight is divided in two, by LyCORIS's names for it.

    `factor` guides how its dimensions are, `unbalanced` gives `w1` the larger share of the
    outputs. A factor of the product is whole where the rank is at least half its larger side;
    with `full_matrix` both are, without `decompose_both` `w1` always is. `tucker` gives larger
    convolutions a middle factor.
    """

    factor: int = -1
    decompose_both: bool = False
    full_matrix: bool = False
    unbalanced: bool = False
    tucker: bool = False


@final
class Lokr(AbstractDelta):
    """delta(W) = scale * kron(w1, w2), for out = a * b and in = c * d.

    `w1` (a, c) is whole or w1_a (a, rank) @ w1_b (rank, c). `w2` (b, d, *kernel) is whole, or
    w2_a (b, rank) @ w2_b (rank, d * kernel area), or in the Tucker form w2_a (rank, b),
    w2_b (rank, d), t2 (rank, rank, *kernel): sum over i, j of t2[i, j, k] w2_a[i, p] w2_b[j, q].
    The sizes are the tensors' own: how a trainer chose them is nobody's business afterwards.

    The scale is alpha / rank, and 1 where both are whole: alpha means nothing then, though LyCORIS
    writes one. The setting `scale`, 1 by default, multiplies it; by it PEFT's alpha / r is told,
    which holds for two whole factors too. Source: LyCORIS, arXiv 2309.14859, section 3.2.
    """

    kind: ClassVar[str] = "lokr"

    w1: nn.Parameter | None
    w1_a: nn.Parameter | None
    w1_b: nn.Parameter | None
    w2: nn.Parameter | None
    w2_a: nn.Parameter | None
    w2_b: nn.Parameter | None
    t2: nn.Parameter | None

    def __init__(
        self, parts: Mapping[str, Tensor], alpha: float | None = None, scale: float = 1.0
    ) -> None:
        super().__init__()
        for name in _NAMES:
            self.register_parameter(name, frozen(parts[name]) if name in parts else None)
        self._alpha = alpha
        self._scale = scale

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
        division: Division | None = None,
    ) -> Self:
        """Return an untrained delta: `w2` or `w2_b` zero, the rest Kaiming-uniform."""
        division = division or Division()
        fan_out, fan_in, *kernel = shape
        a, b = factorization(fan_out, division.factor)
        c, d = factorization(fan_in, division.factor)
        if division.unbalanced:
            a, b = b, a
        parts: dict[str, Tensor] = {}
        if division.full_matrix or rank >= max(b, d) / 2:
            parts["w2"] = torch.zeros(b, d, *kernel)
        elif division.tucker and any(side != 1 for side in kernel):
            parts["t2"] = kaiming((rank, rank, *kernel), generator)
            parts |= {"w2_a": kaiming((rank, b), generator), "w2_b": torch.zeros(rank, d)}
        else:
            parts["w2_a"] = kaiming((b, rank), generator)
            parts["w2_b"] = torch.zeros(rank, d * math.prod(kernel))
        if division.decompose_both and not division.full_matrix and rank < max(a, c) / 2:
            parts |= {"w1_a": kaiming((a, rank), generator), "w1_b": kaiming((rank, c), generator)}
        else:
            parts["w1"] = kaiming((a, c), generator)
        return cls({name: tensor.to(dtype) for name, tensor in parts.items()}, alpha)

    @classmethod
    def from_parts(
        cls, parts: Mapping[str, Tensor], alpha: float | None, settings: Settings = NO_SETTINGS
    ) -> Self:
        form = min(_FORMS, key=lambda form: len(form ^ set(parts)))
        check_names(cls.kind, parts, form)
        check_settings(cls.kind, settings, {"scale": (1.0,)})
        if not _belong_together(parts):
            raise unfit(cls.kind, parts)
        return cls(parts, alpha, float(settings.get("scale", 1.0)))

    def parts(self) -> dict[str, Tensor]:
        return {name: tensor.data for name, tensor in self.named_parameters()}

    @property
    def settings(self) -> Settings:
        return {"scale": self._scale}

    @property
    def alpha(self) -> float | None:
        return float(self.rank) if self._alpha is None and self.rank else self._alpha

    @property
    def rank(self) -> int | None:
        inner = self.w1_b if self.w2_b is None else self.w2_b
        return None if inner is None else inner.shape[0]

    @property
    def scale(self) -> float:
        """What the product is multiplied by."""
        if self._alpha is None or self.rank is None:
            return self._scale
        return self._scale * self._alpha / self.rank

    @property
    def claimed_shape(self) -> tuple[int, ...]:
        (a, c), second = self._first_shape, self._second_shape
        return (a * second[0], c * second[1], *second[2:])

    def fits(self, shape: tuple[int, ...]) -> bool:
        claimed = self.claimed_shape
        divides = len(shape) > 1 and shape[1] % self._first_shape[1] == 0
        flat = divides and (*shape[:1], math.prod(shape[1:])) == claimed
        return super().fits(shape) or (self._is_flat and flat)

    def delta(self, weight: Float[Tensor, "out ..."] | None) -> Float[Tensor, "out ..."]:
        exact = self.precision
        w1, w2 = self._first(exact) * self.scale, self._second(exact)
        product = w1[:, None, :, None] * w2[None, :, None, :]
        return product.reshape(self.claimed_shape if weight is None else weight.shape)

    def branch(
        self,
        x: Shaped[Tensor, "batch ..."],
        y: Float[Tensor, "batch ..."],
        weight: Float[Tensor, "out ..."],
        operation: Operation,
    ) -> Float[Tensor, "batch ..."] | None:
        if operation.groups > 1:
            return None
        w1 = self._first(y.dtype) * self.scale
        if operation.kind == "embedding":
            b = self._second_shape[0]
            rows = F.embedding(x // b, w1).unsqueeze(-1) * self._chosen(x % b, y).unsqueeze(-2)
            return rows.flatten(-2)
        # The inputs are c groups of d: w2 turns each into b, w1 mixes the c into a.
        axis, kernel = operation.width_axis, tuple(weight.shape[2:])
        grouped = divided(x, axis, w1.shape[1], -1)
        if operation.kind == "linear":
            return (w1 @ self._through_second(grouped, operation, kernel)).flatten(-2)
        inner = self._through_second(grouped.flatten(0, axis - 1), operation, kernel)
        groups = divided(inner, 0, -1, w1.shape[1])
        return (w1 @ groups.flatten(2)).reshape(y.shape)

    @property
    def _first_shape(self) -> tuple[int, int]:
        if self.w1 is not None:
            return self.w1.shape[0], self.w1.shape[1]
        w1_a, w1_b = _pair(self.w1_a, self.w1_b)
        return w1_a.shape[0], w1_b.shape[1]

    @property
    def _second_shape(self) -> tuple[int, ...]:
        if self.w2 is not None:
            return tuple(self.w2.shape)
        w2_a, w2_b = _pair(self.w2_a, self.w2_b)
        if self.t2 is not None:
            return (w2_a.shape[1], w2_b.shape[1], *self.t2.shape[2:])
        return (w2_a.shape[0], *w2_b.shape[1:])

    @property
    def _is_flat(self) -> bool:
        return self.w2_b is not None and self.w2_b.ndim == 2 and self.t2 is None

    def _first(self, dtype: torch.dtype) -> Tensor:
        if self.w1 is not None:
            return self.w1.to(dtype)
        w1_a, w1_b = _pair(self.w1_a, self.w1_b)
        return w1_a.to(dtype) @ w1_b.to(dtype)

    def _second(self, dtype: torch.dtype) -> Tensor:
        """Return w2 as a matrix (b, d * kernel area)."""
        if self.w2 is not None:
            return matrix(self.w2, dtype)
        w2_a, w2_b = (matrix(each, dtype) for each in _pair(self.w2_a, self.w2_b))
        if self.t2 is None:
            return w2_a @ w2_b
        outer = torch.einsum("ij...,ip->pj...", self.t2.to(dtype), w2_a)
        return torch.einsum("pj...,jq->pq...", outer, w2_b).flatten(1)

    def _chosen(self, rows: Tensor, y: Tensor) -> Tensor:
        """Return those rows of w2, which is no convolution's."""
        if self.w2_a is None or self.w2_b is None or self.t2 is not None:
            return F.embedding(rows, self._second(y.dtype))
        return F.embedding(rows, self.w2_a.to(y.dtype)) @ matrix(self.w2_b, y.dtype)

    def _through_second(self, x: Tensor, operation: Operation, kernel: tuple[int, ...]) -> Tensor:
        """Apply the layer with w2 for a weight."""
        if self.w2 is not None:
            w2 = self.w2.to(x.dtype)
            return operation.apply(x, w2.view(*w2.shape[:2], *kernel))
        w2_a, w2_b = (each.to(x.dtype) for each in _pair(self.w2_a, self.w2_b))
        rank = w2_b.shape[0]
        if self.t2 is None:
            inner = operation.apply(x, w2_b.view(rank, -1, *kernel))
            return mixed(operation, w2_a, inner)
        t2 = self.t2.to(x.dtype).view(rank, rank, *kernel)
        return mixed(operation, w2_a.mT, operation.apply(mixed(operation, w2_b, x), t2))


def _pair(a: Tensor | None, b: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the two factors of what is not whole."""
    assert a is not None
    assert b is not None
    return a, b


def _belong_together(parts: Mapping[str, Tensor]) -> bool:
    """Whether ranks agree and every tensor has the dimensions of its role."""
    with_kernel = {"w2", "t2"} if "t2" in parts else {"w2", "w2_b"}
    if any(
        tensor.numel() == 0 or tensor.ndim < 2 or (tensor.ndim > 2 and name not in with_kernel)
        for name, tensor in parts.items()
    ):
        return False
    ranks: set[int] = set()
    if "w1_a" in parts:
        ranks |= {parts["w1_a"].shape[1], parts["w1_b"].shape[0]}
    if "w2_a" in parts:
        ranks |= {parts["w2_a"].shape[0 if "t2" in parts else 1], parts["w2_b"].shape[0]}
    if "t2" in parts:
        ranks |= set(parts["t2"].shape[:2])
    return len(ranks) <= 1
