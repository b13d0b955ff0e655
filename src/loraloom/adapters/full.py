"""A full difference: as many numbers as the weight has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self, final

import torch
from jaxtyping import Float
from torch import Tensor

from loraloom.adapters.delta import NO_SETTINGS, AbstractDelta, Settings
from loraloom.adapters.factors import check_names, check_settings, frozen, unfit


@final
class Full(AbstractDelta):
    """delta(W) = diff, for weights of any shape, and for biases and norms."""

    kind: ClassVar[str] = "full"

    def __init__(self, diff: Float[Tensor, "out ..."]) -> None:
        super().__init__()
        self.diff = frozen(diff)

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
        """Return an untrained delta: zero."""
        return cls(torch.zeros(shape, dtype=dtype))

    @classmethod
    def from_parts(
        cls, parts: Mapping[str, Tensor], alpha: float | None, settings: Settings = NO_SETTINGS
    ) -> Self:
        check_names(cls.kind, parts, frozenset({"diff"}))
        check_settings(cls.kind, settings, {})
        if not parts["diff"].ndim or not parts["diff"].numel():
            raise unfit(cls.kind, parts)
        return cls(parts["diff"])

    def parts(self) -> dict[str, Tensor]:
        return {"diff": self.diff.data}

    @property
    def claimed_shape(self) -> tuple[int, ...]:
        return tuple(self.diff.shape)

    def fitted(self, shape: tuple[int, ...]) -> Self:
        fitting = super().fitted(shape)
        return fitting if self.diff.shape == shape else type(self)(self.diff.data.reshape(shape))

    def delta(self, weight: Float[Tensor, "out ..."] | None) -> Float[Tensor, "out ..."]:
        diff = self.diff.to(self.precision)
        return diff if weight is None else diff.view(weight.shape)


def as_full(delta: AbstractDelta, weight: Tensor | None) -> Full:
    """Return any update as a full difference, detached, in the update's precision.

    `weight` may be None for kinds that do not need it; the difference then has the shape that the
    delta claims.
    """
    return Full(delta.delta(weight).detach())
