"""The update that an adapter makes at one weight: its tensors and one formula."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Self

from jaxtyping import Float
from torch import Tensor, nn

from loraloom.adapters.operation import Operation


class AbstractDelta(nn.Module, ABC):
    """The parameters at one site. `delta(W)` is the definition; everything else follows from it.

    Worn with strength s, a weight W becomes W + s * delta(W): 0 is exactly the base, and several
    adapters add up in any order. A delta never holds the layer it is worn on.
    """

    kind: ClassVar[str]

    @classmethod
    @abstractmethod
    def from_parts(cls, parts: Mapping[str, Tensor], alpha: float | None) -> Self:
        """Build from named tensors; shapes that do not belong together are a `ModelError`.

        `alpha` is the scale's numerator; None means that the file knows none: the scale is 1.
        """

    @abstractmethod
    def parts(self) -> dict[str, Tensor]:
        """Return the named tensors, the inverse of `from_parts`."""

    @property
    @abstractmethod
    def alpha(self) -> float:
        """The scale's numerator."""

    @property
    @abstractmethod
    def rank(self) -> int:
        """The rank of the factors."""

    @property
    @abstractmethod
    def claimed_shape(self) -> tuple[int | None, ...]:
        """The weight shape this delta fits; None where it cannot know a dimension."""

    @abstractmethod
    def delta(self, weight: Float[Tensor, "out ..."]) -> Float[Tensor, "out ..."]:
        """Return the update at strength 1, in float32 (float64 for float64 factors)."""

    @abstractmethod
    def branch(
        self,
        x: Float[Tensor, "batch ..."],
        y: Float[Tensor, "batch ..."],
        weight: Float[Tensor, "out ..."],
        operation: Operation,
    ) -> Float[Tensor, "batch ..."] | None:
        """Return the change of the layer's output `y` at strength 1 without forming the update.

        None where the kind has no shortcut; then `operation.apply(x, delta(weight))` is used.
        """
