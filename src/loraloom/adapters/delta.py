"""The update that an adapter makes at one weight: its tensors and one formula."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final, Literal, Self, TypeAlias

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from loraloom.adapters.operation import Operation
from loraloom.errors import ModelError

Setting: TypeAlias = bool | int | float | str
Settings: TypeAlias = Mapping[str, Setting]
Law: TypeAlias = Literal["linear", "peft", "lycoris"]

NO_SETTINGS: Final[Settings] = MappingProxyType({})


class AbstractDelta(nn.Module, ABC):
    """The parameters at one site. `delta(W)` is the definition; everything else follows from it.

    Worn with strength s, a weight W becomes W + s * delta(W): 0 is exactly the base, and several
    adapters add up in any order. A delta never holds the layer it is worn on.

    Three things make one, and make it again: `from_parts(d.parts(), d.alpha, d.settings)` is d.
    `parts` are the named tensors, kept as they were given, in their own shapes and number types;
    `alpha` is the numerator of the scale alpha / rank; `settings` is everything else that changes
    the formula.

    Weights are (out, in) for a linear layer, (out, in / groups, *kernel) for a convolution,
    (vocabulary, width) for an embedding and (out,) for a bias or a norm.
    """

    kind: ClassVar[str]
    needs_weight: ClassVar[bool] = False
    """Whether `delta(W)` depends on the numbers in W. If not, only W's shape is looked at."""
    kept_exact: ClassVar[frozenset[str]] = frozenset()
    """Parts that are multiplied into W itself: rounding them rounds the weight, so whoever casts
    a worn copy to the layer's precision leaves these alone."""

    @classmethod
    @abstractmethod
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
        """Return an untrained delta for a weight of `shape`: it changes nothing, and can learn.

        Draws happen on the CPU in float32, so that a seed means the same numbers on every device.
        Kinds without a rank or a scale ignore those arguments; kinds with a magnitude need
        `weight`. Options of one kind are further keywords.
        """

    @classmethod
    @abstractmethod
    def from_parts(
        cls, parts: Mapping[str, Tensor], alpha: float | None, settings: Settings = NO_SETTINGS
    ) -> Self:
        """Build from named tensors; shapes that do not belong together are a `ModelError`.

        `alpha` None means that the file knows none: the scale is 1. Settings left out have their
        defaults; unknown ones are a `ModelError`.
        """

    @abstractmethod
    def parts(self) -> dict[str, Tensor]:
        """Return the named tensors, detached and sharing memory: the inverse of `from_parts`."""

    @property
    def settings(self) -> Settings:
        """What neither the tensors nor alpha tell, defaults included."""
        return NO_SETTINGS

    @property
    def alpha(self) -> float | None:
        """The scale's numerator; None for kinds without a scale."""
        return None

    @property
    def rank(self) -> int | None:
        """The rank of the factors; None for kinds without one."""
        return None

    @property
    @abstractmethod
    def claimed_shape(self) -> tuple[int | None, ...]:
        """The weight shape this delta was made for; None where it cannot know a dimension.

        Factors stored flat do not know a convolution's kernel: they claim (out, in * kernel area).
        `fits` is the test of whether a weight is one of those it may be worn on.
        """

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a weight of `shape` is one that this delta updates.

        Trailing kernel sides of one pixel do not count: files have such convolutions as linear
        layers and the other way round, and PEFT has a 1-d kernel as (side, 1).
        """
        claimed, given = _without_pixel(self.claimed_shape), _without_pixel(shape)
        return len(claimed) == len(given) and all(
            ours is None or ours == theirs for ours, theirs in zip(claimed, given, strict=True)
        )

    def fitted(self, shape: tuple[int, ...]) -> Self:
        """Return the delta with its parts spelled for a weight of `shape`; itself if they are.

        Only dimensions of size 1 come or go. Raises ModelError if the shape does not fit.
        """
        if not self.fits(shape):
            raise ModelError(
                "adapter.shape", kind=self.kind, expected=shape, found=self.claimed_shape
            )
        return self

    @property
    def precision(self) -> torch.dtype:
        """The number type that the update is computed in: float32, float64 for float64 factors."""
        return wide(*self.parameters())

    @abstractmethod
    def delta(self, weight: Float[Tensor, "out ..."] | None) -> Float[Tensor, "out ..."]:
        """Return the update at strength 1, in `precision`, in the shape of `weight`.

        `weight` None gives the claimed shape, and is a `ModelError` where `needs_weight`.
        The shape of `weight` is one that `fits`; it is not checked again here.
        """

    def lawful(
        self, weight: Float[Tensor, "out ..."] | None, strength: float, law: Law
    ) -> Float[Tensor, "out ..."]:
        """Return the whole update at a strength, under another library's law of strength.

        `linear`, ours, is strength * delta(W) for every kind; kinds whose law differs in PEFT or
        LyCORIS say in their own docstring how. At strength 1 all laws agree.
        """
        return strength * self.delta(weight)

    def low_rank(self) -> tuple[Tensor, Tensor, float] | None:
        """Return (down, up, scale) where delta(W) is scale * up @ down for every W, else None.

        Both are parameters of this delta, not something computed from them, and spelled for the
        weight: (rank, in, *kernel) and (out, rank, *ones). Several such updates of one layer are
        worn as one, with their ranks side by side.
        """
        return None

    def branch(
        self,
        x: Shaped[Tensor, "batch ..."],
        y: Float[Tensor, "batch ..."],
        weight: Float[Tensor, "out ..."],
        operation: Operation,
    ) -> Float[Tensor, "batch ..."] | None:
        """Return the change of the layer's output at strength 1 without forming the update.

        `x` is the layer's input (token numbers for an embedding) and `y` its output **without its
        bias**: operation.apply(x, weight). Only kinds with `needs_weight` look at the numbers in
        y; for the others only its number type matters, which is that of the result.
        None where the kind has no shortcut; then `operation.apply(x, delta(weight))` is used.
        """
        return None


def wide(*tensors: Tensor) -> torch.dtype:
    """Return the number type to compute in: float64 if a tensor is, else float32."""
    exact = any(tensor.dtype == torch.float64 for tensor in tensors)
    return torch.float64 if exact else torch.float32


def _without_pixel(shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """Return a weight's shape without the trailing sides of its kernel that are one pixel."""
    end = len(shape)
    while end > 2 and shape[end - 1] == 1:
        end -= 1
    return shape[:end]
