"""BOFT: block rotations in several stages, between which the channels change places."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Self, final

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from loraloom.adapters.channels import ROWS, divided, side, spread
from loraloom.adapters.delta import NO_SETTINGS, AbstractDelta, Law, Settings
from loraloom.adapters.factorization import butterfly_factorization
from loraloom.adapters.factors import check_names, flat, frozen, unfit
from loraloom.adapters.operation import Operation
from loraloom.adapters.rotation import Rotation, Side, rescaled, rotated
from loraloom.errors import ModelError


@final
class Boft(AbstractDelta):
    """delta(W) = rescale * (R_m ... R_1 W) - W, a butterfly of m stages of n blocks.

    `blocks` is (m, n, b, b), what `Rotation` makes the R_i of. In stage i the channels are taken
    in segments of 2^i * b, whose halves are riffled, singly (LyCORIS, side="output") or in runs
    of b / 2 (PEFT, side="input"); then come the blocks, then the channels go back. The channels
    are the rows of W, or its columns, all of a row in one. `rescale` has a factor per row: (out,),
    perhaps with dimensions of size 1 around it.

    LyCORIS's law of strength puts s into every stage, I + s (R_i - I), and leaves `rescale`
    whole. Source: arXiv 2311.06243, section 4.
    """

    kind: ClassVar[str] = "boft"
    needs_weight: ClassVar[bool] = True
    kept_exact: ClassVar[frozenset[str]] = frozenset({"rescale"})

    def __init__(
        self,
        blocks: Float[Tensor, "m n b b"],
        rescale: Float[Tensor, "*ones"] | None = None,
        rotation: Rotation | None = None,
    ) -> None:
        super().__init__()
        self.blocks = frozen(blocks)
        self.rescale = None if rescale is None else frozen(rescale)
        self._rotation = rotation or Rotation()

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
        """Return an untrained delta: no rotation, all of `rescale` 1, as many stages as there are.

        `rank` guides the size of the blocks as LyCORIS's `lora_dim` does; a width without an even
        block and a power of two of them is a `ModelError`.
        """
        width = shape[0] if side == "output" else math.prod(shape[1:])
        sizes = butterfly_factorization(width, rank)
        if sizes is None:
            raise ModelError("adapter.no_butterfly", width=width, rank=rank)
        size, count = sizes
        blocks = torch.zeros(count.bit_length(), count, size, size, dtype=dtype)
        ones = torch.ones(shape[0], *(1 for _ in shape[1:]), dtype=dtype)
        return cls(blocks, ones if with_rescale else None, Rotation(side=side))

    @classmethod
    def from_parts(
        cls, parts: Mapping[str, Tensor], alpha: float | None, settings: Settings = NO_SETTINGS
    ) -> Self:
        check_names(cls.kind, parts, frozenset({"blocks"}), frozenset({"rescale"}))
        rotation = Rotation.of(cls.kind, settings)
        blocks, rescale = parts["blocks"], parts.get("rescale")
        fits = blocks.ndim == 4 and blocks.numel() > 0 and blocks.shape[2] == blocks.shape[3]
        if fits:
            stages, count, size, _ = blocks.shape
            # One stage riffles nothing that its own blocks could not undo.
            alone = stages == 1 and rotation.side == "input"
            fits = alone or (size % 2 == 0 and count % 2 ** (stages - 1) == 0)
        if rescale is not None and fits:
            factors, rows = flat(rescale), blocks.shape[1] * blocks.shape[2]
            bound = rotation.side == "output"
            fits = factors is not None and (not bound or factors.numel() == rows)
        if not fits:
            raise unfit(cls.kind, parts)
        return cls(blocks, rescale, rotation)

    def parts(self) -> dict[str, Tensor]:
        return {name: tensor.data for name, tensor in self.named_parameters()}

    @property
    def settings(self) -> Settings:
        return self._rotation.settings

    @property
    def claimed_shape(self) -> tuple[int | None, ...]:
        width = self.blocks.shape[1] * self.blocks.shape[2]
        if self._rotation.side == "output":
            return (width, None)
        return (None if self.rescale is None else self.rescale.numel(), width)

    def fits(self, shape: tuple[int, ...]) -> bool:
        if len(shape) < 2:
            return False
        width = shape[0] if self._rotation.side == "output" else math.prod(shape[1:])
        rescales = self.rescale is None or self.rescale.numel() == shape[0]
        return rescales and width == self.blocks.shape[1] * self.blocks.shape[2]

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
        axis = -2 if self._rotation.side == "output" else -1
        turns = strength * self._rotation.turns(self.blocks.to(matrix.dtype))
        change = self._staged(list(enumerate(turns)), matrix, axis)
        rescale = None if self.rescale is None else self.rescale.to(matrix.dtype).view(-1, 1)
        return rescaled(change, matrix, rescale).view(weight.shape)

    def branch(
        self,
        x: Shaped[Tensor, "batch ..."],
        y: Float[Tensor, "batch ..."],
        weight: Float[Tensor, "out ..."],
        operation: Operation,
    ) -> Float[Tensor, "batch ..."] | None:
        where = self._rotation.felt_at(operation, weight)
        if where is None or (self.rescale is not None and side(operation, ROWS) == "input"):
            return None
        turns = list(enumerate(self._rotation.turns(self.blocks.to(self.precision)).to(y.dtype)))
        if where == "output":
            change = self._staged(turns, y, operation.width_axis)
        else:
            backwards = [(stage, turn.mT) for stage, turn in reversed(turns)]
            turned = self._staged(backwards, x, operation.width_axis)
            change = operation.apply(turned, weight)
        if self.rescale is None:
            return change
        factors = self.rescale.to(y.dtype).flatten()
        return rescaled(change, y, spread(operation, ROWS, factors, x))

    def _staged(self, turns: list[tuple[int, Tensor]], x: Tensor, axis: int) -> Tensor:
        """Return what the stages change in `x` along a negative axis, one after the other.

        The changes are summed rather than the results, so that nothing cancels in the end.
        """
        change: Tensor | None = None
        half = self.blocks.shape[2] // 2
        run = 1 if self._rotation.side == "output" else half
        for stage, turn in turns:
            now = x if change is None else x + change
            if run == half and stage == 0:
                step = rotated(turn, now, axis)
            else:
                pairs = 2**stage * half // run
                step = rotated(turn, _riffled(now, axis, 2, pairs, run), axis)
                step = _riffled(step, axis, pairs, 2, run)
            change = step if change is None else change + step
        assert change is not None
        return change


def _riffled(x: Tensor, axis: int, one: int, other: int, run: int) -> Tensor:
    """Return channels in segments of (one, other) runs as segments of (other, one) runs."""
    segments = divided(x, axis, -1, one, other, run)
    return segments.transpose(axis - 2, axis - 1).flatten(axis - 3, axis)
