"""How many singular values to keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias, final

import torch
from jaxtyping import Float
from torch import Tensor

from loraloom.errors import UsageError

_Rule: TypeAlias = Callable[[Float[Tensor, " values"], float], int]


def _fewest_reaching(parts: Float[Tensor, " values"], share: float) -> int:
    """Return how many of the first parts it takes to reach a share of their sum."""
    sums = parts.cumsum(0)
    return int(torch.searchsorted(sums, share * sums[-1])) + 1


RULES: Final[Mapping[str, _Rule]] = MappingProxyType(
    {
        "rank": lambda values, number: int(number),
        "energy": lambda values, share: _fewest_reaching(values.square(), share),
        "sv_fro": lambda values, share: _fewest_reaching(values.square(), share**2),
        "sv_cumulative": _fewest_reaching,
        "sv_ratio": lambda values, ratio: int((values > values[0] / ratio).sum()),
    }
)
"""Rule -> how many of the singular values, given from the largest on, it keeps.

`rank` keeps a number of them; `energy` the fewest whose squares make a share of the sum of all
squares; `sv_fro` the same for the root of the sum of squares, and `sv_cumulative` for the plain
sum; `sv_ratio` those above the largest divided by a number. The last three are what kohya's
resize_lora.py calls by these names.
"""


@final
@dataclass(frozen=True, kw_only=True)
class Truncation:
    """A rule with its number, and the most that may be kept whatever the rule says.

    At least one singular value is always kept, since no adapter can have rank 0. A number that
    makes no sense is a `UsageError`.
    """

    rule: str
    number: float
    most: int | None = None

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise UsageError("composing.no_rule", rule=self.rule, known=", ".join(RULES))
        low, high = _BOUNDS[self.rule]
        if not low <= self.number <= high or (self.most is not None and self.most < 1):
            raise UsageError(
                "composing.rule_number", rule=self.rule, number=self.number, low=low, high=high
            )
        if self.rule == "rank" and self.number != int(self.number):
            raise UsageError(
                "composing.rule_number", rule=self.rule, number=self.number, low=low, high=high
            )

    @classmethod
    def to(cls, rank: int) -> Truncation:
        """Keep this many."""
        return cls(rule="rank", number=rank)

    @property
    def fixed(self) -> int | None:
        """The rank where the rule asks for one; None where it depends on the singular values."""
        return int(self.number) if self.rule == "rank" else None

    def rank(self, values: Float[Tensor, " values"]) -> int:
        """Return how many of these singular values, given from the largest on, are kept."""
        wanted = (
            1 if values[0] == 0 and self.fixed is None else RULES[self.rule](values, self.number)
        )
        return max(1, min(wanted, self.most or wanted, len(values)))


_BOUNDS: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "rank": (1, 2**31),
        "energy": (0, 1),
        "sv_fro": (0, 1),
        "sv_cumulative": (0, 1),
        "sv_ratio": (1, float("inf")),
    }
)
