"""GLoRA, LyCORIS's: a low-rank update and a low-rank mix of the weight's inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Final, Self, final

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from loraloom.adapters.channels import COLUMNS, mixed, side
from loraloom.adapters.delta import NO_SETTINGS, AbstractDelta, Settings
from loraloom.adapters.factors import check_names, check_settings, frozen, matrix, unfit
from loraloom.adapters.initialisations import kaiming
from loraloom.adapters.operation import Operation
from loraloom.errors import ModelError

_NAMES: Final = ("a1", "a2", "b1", "b2")


@final
class Glora(AbstractDelta):
    """delta(W) = (alpha / rank) * (W @ a1 @ a2 + b1 @ b2).

    `a1` (in, rank), `a2` (rank, in), `b1` (out, rank), `b2` (rank, in * kernel area), all perhaps
    with a kernel as dimensions of their own; of a convolution W @ a1 @ a2 mixes the input
    channels. LyCORIS once had the names of each pair the other way round: a1 (rank, in) and so
    on. Shapes tell the two apart; where they cannot, as of a square weight with a rank equal to
    its side, the tensors are refused.

    PEFT's `glora` is another thing: it multiplies W entry by entry. Source: arXiv 2306.07967,
    equation 9, in the form of LyCORIS.
    """

    kind: ClassVar[str] = "glora"
    needs_weight: ClassVar[bool] = True

    def __init__(
        self, a1: Tensor, a2: Tensor, b1: Tensor, b2: Tensor, alpha: float, swapped: bool = False
    ) -> None:
        super().__init__()
        self.a1, self.a2 = frozen(a1), frozen(a2)
        self.b1, self.b2 = frozen(b1), frozen(b2)
        self._alpha = alpha
        self._swapped = swapped

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
    ) -> Self:
        """Return an untrained delta: `a1` and `b1` Kaiming-uniform, `a2` and `b2` zero."""
        fan_out, fan_in, *kernel = shape
        ones = tuple(1 for _ in kernel)
        a1 = kaiming((fan_in, rank, *ones), generator).to(dtype)
        b1 = kaiming((fan_out, rank, *ones), generator).to(dtype)
        a2, b2 = torch.zeros(rank, fan_in, *ones), torch.zeros(rank, fan_in, *kernel)
        return cls(a1, a2.to(dtype), b1, b2.to(dtype), alpha)

    @classmethod
    def from_parts(
        cls, parts: Mapping[str, Tensor], alpha: float | None, settings: Settings = NO_SETTINGS
    ) -> Self:
        check_names(cls.kind, parts, frozenset(_NAMES))
        check_settings(cls.kind, settings, {})
        if any(tensor.ndim < 2 or tensor.numel() == 0 for tensor in parts.values()):
            raise unfit(cls.kind, parts)
        a1, a2, b1, b2 = (parts[name] for name in _NAMES)
        plain, swapped = _fit(a1, a2, b1, b2), _fit(a2, a1, b2, b1)
        if plain and swapped:
            # Of a square weight both readings fit. A rank above the weight's side saves nothing,
            # so nobody has it; and worn on a weight of the other size it would be refused.
            if a1.shape[0] == a1.shape[1]:
                shapes = f"{tuple(a1.shape)}, {tuple(a2.shape)}"
                raise ModelError("adapter.glora_layout", shapes=shapes)
            swapped = a1.shape[0] < a1.shape[1]
        elif not plain and not swapped:
            raise unfit(cls.kind, parts)
        rank = a1.shape[0] if swapped else a1.shape[1]
        return cls(a1, a2, b1, b2, float(rank) if alpha is None else alpha, swapped)

    def parts(self) -> dict[str, Tensor]:
        return {name: getattr(self, name).data for name in _NAMES}

    @property
    def alpha(self) -> float:
        return self._alpha

    @property
    def rank(self) -> int:
        return self._factors[1].shape[0]

    @property
    def scale(self) -> float:
        """alpha / rank: what the sum of the products is multiplied by."""
        return self._alpha / self.rank

    @property
    def claimed_shape(self) -> tuple[int, ...]:
        _, _, up, down = self._factors
        return (up.shape[0], *down.shape[1:])

    def fits(self, shape: tuple[int, ...]) -> bool:
        wide = self._factors[0].shape[0]
        flat = (*shape[:1], math.prod(shape[1:])) == self.claimed_shape
        return len(shape) > 1 and shape[1] == wide and (super().fits(shape) or flat)

    def delta(self, weight: Float[Tensor, "out ..."] | None) -> Float[Tensor, "out ..."]:
        if weight is None:
            raise ModelError("adapter.needs_weight", kind=self.kind)
        exact = self.precision
        left, right, up, down = (matrix(tensor, exact) for tensor in self._factors)
        weight = weight.to(exact)
        turned = torch.einsum("oi...,ir->or...", weight, left * self.scale)
        turned = torch.einsum("or...,rj->oj...", turned, right)
        return turned + ((up * self.scale) @ down).view(weight.shape)

    def branch(
        self,
        x: Shaped[Tensor, "batch ..."],
        y: Float[Tensor, "batch ..."],
        weight: Float[Tensor, "out ..."],
        operation: Operation,
    ) -> Float[Tensor, "batch ..."] | None:
        if operation.groups > 1:
            return None
        left, right, up, down = (matrix(tensor, y.dtype) for tensor in self._factors)
        down = down.view(-1, *weight.shape[1:])
        up = up.view(*up.shape, *(1 for _ in weight.shape[2:]))
        plain = operation.apply_factors(x, down, up, self.scale)
        if side(operation, COLUMNS) == "output":
            return plain + y @ left @ (right * self.scale)
        turned = torch.einsum("oi...,ir->or...", weight.to(y.dtype), left * self.scale)
        return plain + operation.apply(mixed(operation, right, x), turned)

    @property
    def _factors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What W is multiplied by, in order, and what is added to it, in order."""
        if self._swapped:
            return self.a2, self.a1, self.b2, self.b1
        return self.a1, self.a2, self.b1, self.b2


def _fit(left: Tensor, right: Tensor, up: Tensor, down: Tensor) -> bool:
    """Whether these are (in, rank), (rank, in), (out, rank) and (rank, in * kernel area)."""
    rank, wide = right.shape[:2]
    return (
        left.shape[:2] == (wide, rank)
        and up.shape[1] == down.shape[0] == rank
        and down.shape[1:].numel() % wide == 0
        and all(math.prod(each.shape[2:]) == 1 for each in (left, right, up))
    )
