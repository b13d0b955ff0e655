"""Block rotations: from the trained numbers to orthogonal blocks, and blocks times channels.

All of it is told as the distance from the identity, R - I, so that a small rotation of small
blocks loses nothing by being added to 1 and taken from it again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Final, Literal, Self, TypeAlias, cast, final

import torch
from jaxtyping import Float
from torch import Tensor

from loraloom.adapters.channels import COLUMNS, ROWS, divided, side
from loraloom.adapters.delta import Setting, Settings
from loraloom.adapters.factors import check_settings
from loraloom.adapters.operation import Operation

Side: TypeAlias = Literal["output", "input"]
Cayley: TypeAlias = Literal["exact", "transposed", "neumann"]

CHOICES: Final[Mapping[str, tuple[Setting, ...]]] = MappingProxyType(
    {
        "side": ("output", "input"),
        "cayley": ("exact", "transposed", "neumann"),
        "terms": (5,),
        "skew": (1.0,),
        "constraint": (0.0,),
        "eps": (0.0,),
    }
)


@final
@dataclass(frozen=True, kw_only=True)
class Rotation:
    """How numbers become rotations, by the names that the settings of a kind have.

    Every block X gives Q = skew * (X - X') and that a rotation R: `exact` is (I + Q) (I - Q)^-1,
    `transposed` its transpose (I - Q) (I + Q)^-1, `neumann` PEFT's series for the first,
    I + 2 Q + 2 Q^2 + ... with `terms` terms, the last one halved. `constraint` times the width
    is the largest norm that all Q together may have (kohya's and LyCORIS's alpha), `eps` over the
    root of their number the largest that each may have (PEFT's COFT); above it they are scaled
    down to it. `side` tells what is rotated: the layer's outputs (kohya, LyCORIS) or its inputs
    (PEFT).
    """

    side: Side = "output"
    cayley: Cayley = "exact"
    terms: int = 5
    skew: float = 1.0
    constraint: float | None = None
    eps: float | None = None

    @classmethod
    def of(cls, kind: str, settings: Settings) -> Self:
        """Build from settings; unknown ones are a `ModelError`."""
        check_settings(kind, settings, CHOICES)
        numbers: dict[str, Any] = dict(settings)
        return cls(**numbers)

    @property
    def settings(self) -> Settings:
        """The inverse of `of`."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def felt_at(
        self, operation: Operation, weight: Float[Tensor, "out ..."]
    ) -> Literal["input", "output"] | None:
        """Return on which side of a layer its rotated weight is rotated channels, if on any."""
        where = side(operation, ROWS if self.side == "output" else COLUMNS)
        if where == "choice" or operation.groups > 1:
            return None  # different tokens are rotated together, or outputs of different inputs
        if where == "input" and weight.shape[2:].numel() > 1:
            return None  # pixels of the kernel are rotated into each other
        return where

    def turns(self, blocks: Float[Tensor, "*stages blocks size size"]) -> Tensor:
        """Return R - I for every block."""
        q = (blocks - blocks.mT) * self.skew
        if self.constraint is not None:
            width = q.shape[-3] * q.shape[-1]
            norm = cast(Tensor, torch.linalg.vector_norm(q))
            q = q * _shrink(norm, self.constraint * width)
        if self.eps is not None:
            norms = cast(Tensor, torch.linalg.vector_norm(q, dim=(-2, -1), keepdim=True))
            q = q * _shrink(norms, self.eps / math.sqrt(q.shape[-3]))
        return _WAYS[self.cayley](q, self.terms)


def rotated(turn: Float[Tensor, "blocks size size"], x: Tensor, axis: int) -> Tensor:
    """Return blocks times slices of `x` along a negative axis: sum over j of turn_kij x_kj."""
    count, size, _ = turn.shape
    pieces = divided(x, axis, count, size)
    if axis == -1:
        return torch.einsum("kij,...kj->...ki", turn, pieces).flatten(-2)
    return (turn @ pieces.flatten(axis + 1)).reshape(x.shape)


def rescaled(
    change: Float[Tensor, "*shape"],
    x: Float[Tensor, "*shape"],
    rescale: Tensor | None,
) -> Float[Tensor, "*shape"]:
    """Return rescale * (x + change) - x, which is `change` without a factor."""
    return change if rescale is None else torch.addcmul(change * rescale, x, rescale - 1)


def _shrink(norm: Tensor, bound: float) -> Tensor:
    """Return what brings a norm within its bound, with a gradient that is finite at 0 too."""
    return bound / norm.clamp_min(max(bound, torch.finfo(norm.dtype).eps))


def _exact(q: Tensor, terms: int) -> Tensor:
    identity = torch.eye(q.shape[-1], dtype=q.dtype, device=q.device)
    return cast(Tensor, torch.linalg.solve(identity - q, 2 * q))


def _transposed(q: Tensor, terms: int) -> Tensor:
    return _exact(-q, terms)


def _neumann(q: Tensor, terms: int) -> Tensor:
    if terms < 2:
        return torch.zeros_like(q)
    total, power = 2 * q, q
    if terms == 2:
        return total
    for _ in range(2, max(terms, 4) - 1):  # PEFT's loop: 3 terms are 4
        power = power @ q
        total = total + 2 * power
    return total + power @ q


_WAYS: Final[Mapping[Cayley, Callable[[Tensor, int], Tensor]]] = MappingProxyType(
    {"exact": _exact, "transposed": _transposed, "neumann": _neumann}
)
