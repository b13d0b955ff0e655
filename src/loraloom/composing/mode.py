"""The ways to merge, and what there is to choose about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, final

from torch import Tensor

from loraloom.adapters.delta import Law
from loraloom.composing.sparsity import elected, summed
from loraloom.composing.truncation import Truncation
from loraloom.composing.weights import NORMALIZERS
from loraloom.errors import UsageError

Thinning: TypeAlias = Literal["trim", "drop"]
_Addition: TypeAlias = Callable[[Sequence[Tensor]], Tensor]

SPARSE: Final[Mapping[str, tuple[Thinning, _Addition]]] = MappingProxyType(
    {
        "ties": ("trim", elected),
        "magnitude": ("trim", summed),
        "dare": ("drop", summed),
        "dare_ties": ("drop", elected),
    }
)
"""Mode -> how each adapter's change is thinned out, and how what is left is added up."""

MODES: Final = ("cat", "svd", *SPARSE)


@final
@dataclass(frozen=True, kw_only=True)
class MergeSettings:
    """How to merge; what does not go together is a `UsageError`.

    `cat` and `svd` are the weighted sum of the changes: exactly, at the sum of the ranks, or at the
    rank that `truncation` says (None: the largest that goes in). The sparse modes first keep a
    share `density` of the entries of each change: the largest ones (`ties`, `magnitude`), compared
    within all the weights that an adapter touches or, with `trim="weight"`, within each alone; or
    random ones (`dare`, `dare_ties`), drawn from `seed`. What is left is summed, or with `ties`
    each entry is the mean of the numbers that have the winning sign. Their result is a full
    difference unless `truncation` asks for low rank. `scale` multiplies the result; `normalize` is
    a key of `NORMALIZERS`; `law` is that of strength (see `AbstractDelta.lawful`).
    """

    mode: str = "cat"
    truncation: Truncation | None = None
    normalize: str = "none"
    density: float | None = None
    trim: Literal["model", "weight"] = "model"
    scale: float = 1.0
    seed: int = 0
    law: Law = "linear"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError("composing.no_mode", mode=self.mode, known=", ".join(MODES))
        if self.normalize not in NORMALIZERS:
            known = ", ".join(NORMALIZERS)
            raise UsageError("composing.no_normalizer", normalize=self.normalize, known=known)
        if self.mode == "cat" and self.truncation is not None:
            raise UsageError("composing.cat_rank")
        if self.mode in SPARSE and self.density is None:
            raise UsageError("composing.density_needed", mode=self.mode)
        if self.mode not in SPARSE and self.density is not None:
            raise UsageError("composing.density_mode", mode=self.mode, sparse=", ".join(SPARSE))
        if self.density is not None and not 0 < self.density <= 1:
            raise UsageError("composing.density", density=self.density)
        if not math.isfinite(self.scale):
            raise UsageError("composing.scale", scale=self.scale)

    @property
    def share(self) -> float:
        """The density; a mode that has none keeps everything."""
        return 1.0 if self.density is None else self.density
