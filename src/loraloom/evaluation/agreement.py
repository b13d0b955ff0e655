"""How often a judge saw in pictures what was asked for, and how sure that number can be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from typing import Final, final

from loraloom.errors import UsageError

Answers = Mapping[str, str]
"""Question to answer, of one picture: what a judge read in it, or what its prompt asked for."""

_NORMAL_QUANTILE: Final = 1.959963984540054
"""97.5 % of a standard normal distribution lies below it."""


@final
@dataclass(frozen=True)
class Share:
    """`right` of `total` pictures; `value` and its 95 % interval `low` to `high` lie in [0, 1].

    Raises UsageError where no share exists: of no pictures, or of more right ones than there are.
    """

    right: int
    total: int
    value: float = field(init=False)
    low: float = field(init=False)
    high: float = field(init=False)

    def __post_init__(self) -> None:
        low, high = wilson_interval(self.right, self.total)
        object.__setattr__(self, "value", self.right / self.total)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)


def wilson_interval(
    right: int, total: int, quantile: float = _NORMAL_QUANTILE
) -> tuple[float, float]:
    """Return the lowest and highest p with |right/total - p| <= quantile * sqrt(p(1-p)/total).

    `quantile` is the standard normal's; the default gives 95 %. Unlike the textbook interval it
    stays inside [0, 1] and does not shrink to nothing at 0 or at 1. Source: E. B. Wilson,
    "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), 209-212.
    """
    if not 0 <= right <= total or total == 0:
        raise UsageError("evaluation.no_share", right=right, total=total)
    share = right / total
    shrink = 1 + quantile**2 / total
    centre = (share + quantile**2 / (2 * total)) / shrink
    reach = (
        quantile * math.sqrt(share * (1 - share) / total + quantile**2 / (4 * total**2)) / shrink
    )
    # Exactly 0 and 1 at the ends, where rounding would leave a last bit.
    low = 0.0 if right == 0 else centre - reach
    high = 1.0 if right == total else centre + reach
    return low, high


def shares_by_question(read: Sequence[Answers], asked: Sequence[Answers]) -> dict[str, Share]:
    """Return, per question, how many of the pictures it was asked of show what was asked for.

    `read` and `asked` go picture by picture; a prompt need not ask everything that a judge reads.
    """
    rights: dict[str, list[bool]] = {}
    for seen, wanted in zip(read, asked, strict=True):
        for question, answer in wanted.items():
            rights.setdefault(question, []).append(seen[question] == answer)
    return {question: Share(sum(each), len(each)) for question, each in rights.items()}


def all_right(read: Sequence[Answers], asked: Sequence[Answers]) -> Share:
    """Return how many pictures show everything that was asked of them."""
    rights = [
        all(seen[question] == answer for question, answer in wanted.items())
        for seen, wanted in zip(read, asked, strict=True)
    ]
    return Share(sum(rights), len(rights))


def answer_share(read: Sequence[Answers], question: str, answer: str) -> Share:
    """Return how many pictures were read as `answer`: the style share is that of a style's name."""
    return Share(sum(seen[question] == answer for seen in read), len(read))


def rises_steadily(shares: Sequence[Share], points: int = 5) -> bool:
    """Whether the last share is above the first and none lies more than `points` below an earlier.

    A point is one hundredth. Fewer than two shares do not rise.
    """
    values = [Fraction(share.right, share.total) for share in shares]
    falls = (best - value for best, value in zip(accumulate(values, max), values, strict=True))
    return len(values) > 1 and values[-1] > values[0] and max(falls) <= Fraction(points, 100)
