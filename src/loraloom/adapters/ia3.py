"""IA3: a factor for every output or every input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self, final

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from loraloom.adapters.channels import COLUMNS, ROWS, scaled
from loraloom.adapters.delta import NO_SETTINGS, AbstractDelta, Settings
from loraloom.adapters.factors import (
    check_names,
    check_settings,
    flat,
    frozen,
    unfit,
)
from loraloom.adapters.operation import Operation
from loraloom.errors import ModelError


@final
class Ia3(AbstractDelta):
    """delta(W) = W * scale, along the outputs, or along the inputs with the setting `on_input`.

    `scale` is how far each factor is from 1, as LyCORIS keeps it; PEFT keeps 1 + scale. It may
    have dimensions of size 1 around it. Along the outputs it fits a bias too, which PEFT scales
    along with its weight and LyCORIS does not. Source: arXiv 2205.05638, section 3.3.
    """

    kind: ClassVar[str] = "ia3"
    needs_weight: ClassVar[bool] = True

    def __init__(self, scale: Float[Tensor, "*ones"], on_input: bool = False) -> None:
        super().__init__()
        self.scale = frozen(scale)
        self._on_input = on_input

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
        on_input: bool = False,
    ) -> Self:
        """Return an untrained delta: zero."""
        return cls(torch.zeros(shape[1 if on_input else 0], dtype=dtype), on_input)

    @classmethod
    def from_parts(
        cls, parts: Mapping[str, Tensor], alpha: float | None, settings: Settings = NO_SETTINGS
    ) -> Self:
        check_names(cls.kind, parts, frozenset({"scale"}))
        check_settings(cls.kind, settings, {"on_input": (True, False)})
        if flat(parts["scale"]) is None:
            raise unfit(cls.kind, parts)
        return cls(parts["scale"], bool(settings.get("on_input", False)))

    def parts(self) -> dict[str, Tensor]:
        return {"scale": self.scale.data}

    @property
    def settings(self) -> Settings:
        return {"on_input": self._on_input}

    @property
    def claimed_shape(self) -> tuple[int | None, ...]:
        return (None, self.scale.numel()) if self._on_input else (self.scale.numel(), None)

    def fits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) > self._axis and shape[self._axis] == self.scale.numel()

    def delta(self, weight: Float[Tensor, "out ..."] | None) -> Float[Tensor, "out ..."]:
        if weight is None:
            raise ModelError("adapter.needs_weight", kind=self.kind)
        ones = (1 for _ in weight.shape[1 + self._axis :])
        return weight.to(self.precision) * self.scale.to(self.precision).view(-1, *ones)

    def branch(
        self,
        x: Shaped[Tensor, "batch ..."],
        y: Float[Tensor, "batch ..."],
        weight: Float[Tensor, "out ..."],
        operation: Operation,
    ) -> Float[Tensor, "batch ..."] | None:
        return scaled(operation, self._axis, self.scale.to(y.dtype).flatten(), x, y, weight)

    @property
    def _axis(self) -> int:
        return COLUMNS if self._on_input else ROWS
