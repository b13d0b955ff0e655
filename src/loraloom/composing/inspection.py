"""What is suspicious about an adapter: numbers that are none, changes that are zero or far off."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, final

from torch import Tensor

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.scale import FLOAT32, is_moderate, scale_of
from loraloom.adapters.span import Place
from loraloom.composing.base_weights import BaseWeights
from loraloom.composing.evaluation import base_weight, change_of, shape_at
from loraloom.errors import ModelError

_Code: TypeAlias = Literal["not_a_number", "infinite", "overflow", "zero", "outlier"]

_FEWEST: Final = 8
_FARTHEST: Final = 3.5
_DEVIATIONS_PER_MAD: Final = 0.6745
_SMALLEST_MAD: Final = 0.1


@final
@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something suspicious at one place.

    `not_a_number` and `infinite`: `count` numbers of the part named `part` are. `overflow`: the
    change, or the scale `times` in it, is beyond the range of float32. `zero`: the change is.
    `outlier`: the root mean square of the change's entries is `times` the median's.
    """

    place: Place
    code: _Code
    part: str = ""
    count: int = 0
    times: float = 1.0


@final
@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was found, and the Frobenius norm of every change.

    A norm is None where it could not be told: the change depends on a base that was not given, or
    holds numbers that are none.
    """

    findings: tuple[Finding, ...]
    norms: Mapping[Place, float | None]


def inspect(adapter: Adapter, base: BaseWeights | None = None) -> Inspection:
    """Return what is suspicious about an adapter.

    Outliers are told among the weights of one network, biases and norms apart, if there are at
    least eight: those whose logarithmic root mean square lies more than 3.5 robust deviations from
    the median, that is 3.5 times the median absolute deviation (not below 0.1) over 0.6745.
    Source: Iglewicz and Hoaglin, "How to detect and handle outliers" (1993).
    """
    findings: list[Finding] = []
    norms: dict[Place, float | None] = {}
    sizes: dict[tuple[str, bool], dict[Place, float]] = {}
    for place, delta in adapter.deltas.items():
        broken = _broken(place, delta)
        if not broken and not is_moderate(delta):
            broken = [Finding(place=place, code="overflow", times=scale_of(delta))]
        findings += broken
        norms[place] = None
        if broken or (delta.needs_weight and base is None):
            continue
        shape = shape_at(place, {adapter.card.name: delta}, base)
        weight = base_weight(place, adapter.card.name, delta, base)
        change = change_of(delta, 1.0, shape, weight)
        norm = change.norm()
        if not norm <= FLOAT32.max:
            findings.append(Finding(place=place, code="overflow", times=scale_of(delta)))
            continue
        norms[place] = norm
        if norm == 0:
            findings.append(Finding(place=place, code="zero"))
        else:
            group = sizes.setdefault((place.part, len(change.shape) == 1), {})
            group[place] = math.log(norm / math.sqrt(math.prod(change.shape)))
    for group in sizes.values():
        findings += _outliers(group)
    return Inspection(findings=tuple(findings), norms=norms)


def check_finite(place: Place, delta: AbstractDelta) -> None:
    """Raise ModelError if a delta holds numbers that are not finite."""
    if _broken(place, delta):
        raise ModelError("adapter.not_finite", site=place)


def _broken(place: Place, delta: AbstractDelta) -> list[Finding]:
    findings: list[Finding] = []
    for part, tensor in delta.parts().items():
        # Eight-bit numbers have no tests of their own.
        numbers = tensor.float() if tensor.itemsize == 1 else tensor
        for code, count in _odd(numbers):
            if count:
                findings.append(Finding(place=place, code=code, part=part, count=count))
    return findings


def _odd(numbers: Tensor) -> tuple[tuple[_Code, int], ...]:
    return ("not_a_number", int(numbers.isnan().sum())), ("infinite", int(numbers.isinf().sum()))


def _outliers(sizes: Mapping[Place, float]) -> Sequence[Finding]:
    if len(sizes) < _FEWEST:
        return ()
    middle = statistics.median(sizes.values())
    spread = statistics.median(abs(size - middle) for size in sizes.values())
    reach = _FARTHEST * max(spread, _SMALLEST_MAD) / _DEVIATIONS_PER_MAD
    return [
        Finding(place=place, code="outlier", times=math.exp(size - middle))
        for place, size in sizes.items()
        if abs(size - middle) > reach
    ]
