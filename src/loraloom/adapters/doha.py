"""DoHa: LoHa for the direction of each row or column, and a magnitude."""

from __future__ import annotations

from typing import ClassVar, final

from jaxtyping import Float
from torch import Tensor

from loraloom.adapters.decomposed import AbstractDecomposed, Axis
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.factors import frozen
from loraloom.adapters.loha import Loha


@final
class Doha(AbstractDecomposed):
    """delta(W) = magnitude * V / norm(V) - W with V = W + ΔW, where ΔW is Loha's."""

    kind: ClassVar[str] = "doha"
    inner_kind: ClassVar[type[AbstractDelta]] = Loha

    def __init__(
        self,
        inner: AbstractDelta,
        magnitude: Float[Tensor, "*ones"],
        axis: Axis = "output",
        detached_norm: bool = False,
    ) -> None:
        super().__init__(inner, magnitude, axis, detached_norm)
        self.inner = inner
        self.magnitude = frozen(magnitude)
        self.axis = axis
        self.detached_norm = detached_norm
