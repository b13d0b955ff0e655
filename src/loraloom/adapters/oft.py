"""OFT: blocks of the outputs, or of the inputs, are rotated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Self, final

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from loraloom.adapters.channels import ROWS, side, spread
from loraloom.adapters.delta import NO_SETTINGS, AbstractDelta, Law, Settings
from loraloom.adapters.factorization import factorization
from loraloom.adapters.factors import check_names, check_settings, flat, frozen, unfit
from loraloom.adapters.operation import Operation
from loraloom.adapters.rotation import Rotation, Side, rescaled, rotated
from loraloom.errors import ModelError


@final
class Oft(AbstractDelta):
    """delta(W) = rescale * (R W) - W with R made of blocks along the diagonal.

    `blocks` is (n, b, b), what `Rotation` makes R of. With side="output" the n * b rows of W are
    multiplied by the transpose of R; with side="input" its columns, all of a row in one, by R.
    With the setting `shared` there is one block (1, b, b) for all places. `rescale`, where there
    is one, has a factor per row: (out,), perhaps with dimensions of size 1 around it.

    LyCORIS's law of strength leaves `rescale` whole: rescale * (W + s (R W - W)) - W.
    Source: arXiv 2306.07280, section 3.3; PEFT's input side is arXiv 2506.19847.
    """

    kind: ClassVar[str] = "oft"
    needs_weight: ClassVar[bool] = True
    kept_exact: ClassVar[frozenset[str]] = frozenset({"rescale"})

    def __init__(
        self,
        blocks: Float[Tensor, "n b b"],
        rescale: Float[Tensor, "*ones"] | None = None,
        rotation: Rotation | None = None,
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.blocks = frozen(blocks)
        self.rescale = None if rescale is None else frozen(rescale)
        self._rotation = rotation or Rotation()
        self._shared = shared

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
        side: Side = "output",
        with_rescale: bool = False,
    ) -> Self:
        """Return an untrained delta: no rotation, all of `rescale` 1.

        `rank` guides the size of the blocks as LyCORIS's `lora_dim` does.
        """
        width = shape[0] if side == "output" else math.prod(shape[1:])
        size, count = factorization(width, rank)
        ones = torch.ones(shape[0], *(1 for _ in shape[1:]), dtype=dtype)
        blocks = torch.zeros(count, size, size, dtype=dtype)
        return cls(blocks, ones if with_rescale else None, Rotation(side=side))

    @classmethod
    def from_parts(
        cls, parts: Mapping[str, Tensor], alpha: float | None, settings: Settings = NO_SETTINGS
    ) -> Self:
        check_names(cls.kind, parts, frozenset({"blocks"}), frozenset({"rescale"}))
        own = {"shared": settings["shared"]} if "shared" in settings else {}
        check_settings(cls.kind, own, {"shared": (False,)})
        rotation = Rotation.of(cls.kind, {k: v for k, v in settings.items() if k != "shared"})
        blocks, rescale, shared = parts["blocks"], parts.get("rescale"), bool(own.get("shared"))
        fits = blocks.ndim == 3 and blocks.numel() > 0 and blocks.shape[1] == blocks.shape[2]
        fits = fits and not (shared and blocks.shape[0] > 1)
        if rescale is not None and fits:
            factors = flat(rescale)
            rows = blocks.shape[0] * blocks.shape[1]
            bound = rotation.side == "output" and not shared
            fits = factors is not None and (not bound or factors.numel() == rows)
        if not fits:
            raise unfit(cls.kind, parts)
        return cls(blocks, rescale, rotation, shared)

    def parts(self) -> dict[str, Tensor]:
        return {name: tensor.data for name, tensor in self.named_parameters()}

    @property
    def settings(self) -> Settings:
        return {**self._rotation.settings, "shared": self._shared}

    @property
    def claimed_shape(self) -> tuple[int | None, ...]:
        count, size, _ = self.blocks.shape
        width = None if self._shared else count * size
        if self._rotation.side == "output":
            return (width, None)
        return (None if self.rescale is None else self.rescale.numel(), width)

    def fits(self, shape: tuple[int, ...]) -> bool:
        if len(shape) < 2:
            return False
        width = shape[0] if self._rotation.side == "output" else math.prod(shape[1:])
        count, size, _ = self.blocks.shape
        rescales = self.rescale is None or self.rescale.numel() == shape[0]
        return rescales and (width % size == 0 if self._shared else width == count * size)

    def delta(self, weight: Float[Tensor, "out ..."] | None) -> Float[Tensor, "out ..."]:
        return self.lawful(weight, 1.0, "lycoris")

    def lawful(
        self, weight: Float[Tensor, "out ..."] | None, strength: float, law: Law
    ) -> Float[Tensor, "out ..."]:
        if law != "lycoris":
            return super().lawful(weight, strength, law)
        if weight is None:
            raise ModelError("adapter.needs_weight", kind=self.kind)
        matrix = weight.to(self.precision).flatten(1)
        if self._rotation.side == "output":
            change = rotated(self._turns(matrix.shape[0]).mT, matrix, -2)
        else:
            change = rotated(self._turns(matrix.shape[1]), matrix, -1)
        rescale = None if self.rescale is None else self.rescale.to(matrix.dtype).view(-1, 1)
        return rescaled(strength * change, matrix, rescale).view(weight.shape)

    def branch(
        self,
        x: Shaped[Tensor, "batch ..."],
        y: Float[Tensor, "batch ..."],
        weight: Float[Tensor, "out ..."],
        operation: Operation,
    ) -> Float[Tensor, "batch ..."] | None:
        rows = self._rotation.side == "output"
        where = self._rotation.felt_at(operation, weight)
        if where is None or (self.rescale is not None and side(operation, ROWS) == "input"):
            return None
        turns = self._turns(weight.shape[0 if rows else 1]).to(y.dtype)
        turns = turns.mT if rows else turns
        if where == "output":
            change = rotated(turns, y, operation.width_axis)
        else:
            change = operation.apply(rotated(turns.mT, x, operation.width_axis), weight)
        if self.rescale is None:
            return change
        factors = self.rescale.to(y.dtype).flatten()
        return rescaled(change, y, spread(operation, ROWS, factors, x))

    def _turns(self, width: int) -> Tensor:
        turns = self._rotation.turns(self.blocks.to(self.precision))
        return turns.expand(width // turns.shape[1], -1, -1) if self._shared else turns
