"""DoRA's decomposition: a direction that another kind updates, and a magnitude."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from loraloom.adapters.channels import COLUMNS, ROWS, side, spread
from loraloom.adapters.delta import NO_SETTINGS, AbstractDelta, Law, Setting, Settings
from loraloom.adapters.factors import check_names, check_settings, flat, unfit
from loraloom.adapters.norms import norms, updated_norms
from loraloom.adapters.operation import Operation
from loraloom.errors import ModelError

Axis: TypeAlias = Literal["output", "input"]

_AXES: Final[Mapping[Axis, int]] = {"output": ROWS, "input": COLUMNS}
_CHOICES: Final[Mapping[str, tuple[Setting, ...]]] = {
    "axis": tuple(_AXES),
    "detached_norm": (True, False),
}


class AbstractDecomposed(AbstractDelta, ABC):
    """W' = magnitude * V / norm(V) with V = W + ΔW; delta(W) = W' - W, ΔW the inner kind's.

    With axis="output" there is a magnitude per row of W and the norm is over the rest of the row;
    with axis="input" per column (an input channel with all of its kernel). `magnitude` is flat,
    perhaps with dimensions of size 1 around it. `detached_norm` keeps the norm out of the
    gradient, as PEFT does, arXiv 2402.09353, section 4.3; the default is the whole gradient.

    PEFT's law of strength puts s on ΔW alone: magnitude * (W + s ΔW) / norm(W + s ΔW) - W.
    LyCORIS's leaves ΔW whole: V * (1 + s (magnitude / norm(V) - 1)) - W. Neither is 0 at s = 0.
    """

    inner_kind: ClassVar[type[AbstractDelta]]
    needs_weight: ClassVar[bool] = True
    kept_exact: ClassVar[frozenset[str]] = frozenset({"magnitude"})

    inner: AbstractDelta
    magnitude: nn.Parameter
    axis: Axis
    detached_norm: bool

    @abstractmethod
    def __init__(
        self, inner: AbstractDelta, magnitude: Tensor, axis: Axis, detached_norm: bool
    ) -> None:
        """Hold the four."""
        super().__init__()

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
        axis: Axis = "output",
        detached_norm: bool = False,
        **options: Any,
    ) -> Self:
        """Return an untrained delta: the inner kind's, with the norms that `weight` has.

        The magnitude is never narrower than float32: rounded, it would change the weight.
        """
        if weight is None:
            raise ModelError("adapter.needs_weight", kind=cls.kind)
        inner = cls.inner_kind.fresh(shape, rank, alpha, generator, dtype, **options)
        magnitude = norms(weight.detach().to(inner.precision), _AXES[axis]).cpu()
        return cls(inner, magnitude, axis, detached_norm)

    @classmethod
    def from_parts(
        cls, parts: Mapping[str, Tensor], alpha: float | None, settings: Settings = NO_SETTINGS
    ) -> Self:
        if "magnitude" not in parts or flat(parts["magnitude"]) is None:
            check_names(cls.kind, parts, frozenset({"magnitude", *parts}))
            raise unfit(cls.kind, parts)
        own = {name: value for name, value in settings.items() if name in _CHOICES}
        check_settings(cls.kind, own, _CHOICES)
        inner = cls.inner_kind.from_parts(
            {name: tensor for name, tensor in parts.items() if name != "magnitude"},
            alpha,
            {name: value for name, value in settings.items() if name not in _CHOICES},
        )
        axis: Any = own.get("axis", "output")
        return cls(inner, parts["magnitude"], axis, bool(own.get("detached_norm", False)))

    def parts(self) -> dict[str, Tensor]:
        return {**self.inner.parts(), "magnitude": self.magnitude.data}

    @property
    def settings(self) -> Settings:
        own: dict[str, Setting] = {"axis": self.axis, "detached_norm": self.detached_norm}
        return {**self.inner.settings, **own}

    @property
    def alpha(self) -> float | None:
        return self.inner.alpha

    @property
    def rank(self) -> int | None:
        return self.inner.rank

    @property
    def claimed_shape(self) -> tuple[int | None, ...]:
        return self.inner.claimed_shape

    def fits(self, shape: tuple[int, ...]) -> bool:
        return self.inner.fits(shape) and shape[_AXES[self.axis]] == self.magnitude.numel()

    def fitted(self, shape: tuple[int, ...]) -> Self:
        fitting, inner = super().fitted(shape), self.inner.fitted(shape)
        if inner is self.inner:
            return fitting
        return type(self)(inner, self.magnitude.data, self.axis, self.detached_norm)

    def delta(self, weight: Float[Tensor, "out ..."] | None) -> Float[Tensor, "out ..."]:
        return self.lawful(weight, 1.0, "peft")

    def lawful(
        self, weight: Float[Tensor, "out ..."] | None, strength: float, law: Law
    ) -> Float[Tensor, "out ..."]:
        if law == "linear":
            return super().lawful(weight, strength, law)
        if weight is None:
            raise ModelError("adapter.needs_weight", kind=self.kind)
        base, update = weight.to(self.precision), self.inner.delta(weight)
        if law == "peft":
            update = strength * update
        factor = self._factor(norms(base + update, _AXES[self.axis]))
        if law == "lycoris":
            factor = torch.lerp(torch.ones_like(factor), factor, strength)
        factor = factor.view(-1, *(1 for _ in weight.shape[1 + _AXES[self.axis] :]))
        return factor * update + (factor - 1) * base

    def branch(
        self,
        x: Shaped[Tensor, "batch ..."],
        y: Float[Tensor, "batch ..."],
        weight: Float[Tensor, "out ..."],
        operation: Operation,
    ) -> Float[Tensor, "batch ..."] | None:
        inner = self.inner.branch(x, y, weight, operation)
        if inner is None:
            return None
        axis = _AXES[self.axis]
        factor = self._factor(self._updated_norms(weight))
        whole, excess = (
            spread(operation, axis, each.to(y.dtype), x) for each in (factor, factor - 1)
        )
        if side(operation, axis) == "input":
            turned = self.inner.branch(whole * x, y, weight, operation)
            assert turned is not None
            return turned + operation.apply(excess * x, weight)
        return whole * inner + excess * y

    def _updated_norms(self, weight: Float[Tensor, "out ..."]) -> Float[Tensor, " width"]:
        exact, axis = self.precision, _AXES[self.axis]
        low_rank = self.inner.low_rank()
        if low_rank is None:
            return norms(weight.to(exact) + self.inner.delta(weight), axis)
        down, up, scale = low_rank
        return updated_norms(weight, down.to(exact), up.to(exact) * scale, axis)

    def _factor(self, norm: Float[Tensor, " width"]) -> Float[Tensor, " width"]:
        """Return magnitude / norm for every row or column. One of zeros stays zero."""
        if self.detached_norm:
            norm = norm.detach()
        smallest = torch.finfo(norm.dtype).eps
        factor = self.magnitude.to(norm.dtype).flatten() / norm.clamp_min(smallest)
        return factor * (norm > smallest)
