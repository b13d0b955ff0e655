"""How much of each adapter goes into a merge, at every weight."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import Final, TypeAlias

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.prefixes import longest_prefix
from loraloom.adapters.site import PARTS, Site
from loraloom.composing.change import Change
from loraloom.errors import UsageError

Weight: TypeAlias = float | Mapping[str, float]
"""One number for all sites, or numbers by path prefix, as strengths are given in `attach`: `unet`,
`unet.down_blocks.1`. The longest prefix of a site counts, the empty one is one of every site, and
a site without any has 0."""


def weight_at(weight: Weight, site: Site) -> float:
    """Return the weight of an adapter at one site."""
    if not isinstance(weight, Mapping):
        return weight
    prefix = longest_prefix(str(site), weight)
    return 0.0 if prefix is None else weight[prefix]


def written(weight: Weight) -> float | dict[str, float]:
    """Return a weight as JSON can hold it."""
    return dict(weight) if isinstance(weight, Mapping) else weight


def is_worn(adapter: Adapter, weight: Weight) -> bool:
    """Whether an adapter goes into a merge at all, be it with its embeddings alone."""
    numbers = weight.values() if isinstance(weight, Mapping) else [weight]
    return any(weight_at(weight, site) for site in adapter.sites) or (
        not adapter.sites and any(numbers)
    )


def check_weights(adapters: Mapping[str, Adapter], weights: Mapping[str, Weight]) -> None:
    """Raise UsageError for adapters without a weight, and for weights that mean nothing.

    Those are numbers that are not finite, prefixes that no site of the adapter has (a network's
    name aside), and weights for adapters that are not there.
    """
    if adapters.keys() != weights.keys():
        odd = ", ".join(sorted(adapters.keys() ^ weights.keys()))
        raise UsageError("composing.weight_names", names=odd)
    for name, weight in weights.items():
        prefixes = weight if isinstance(weight, Mapping) else {"": weight}
        known = {"", *PARTS}
        if isinstance(weight, Mapping):
            for site in adapters[name].sites:
                known.update(accumulate(str(site).split("."), "{}.{}".format))
        for prefix, number in prefixes.items():
            if not math.isfinite(number):
                raise UsageError("composing.weight", adapter=name, weight=number)
            if prefix not in known:
                raise UsageError("composing.no_block", adapter=name, block=prefix)


Summed: TypeAlias = Callable[[], tuple[Change, Sequence[Change]]]

NORMALIZERS: Final[Mapping[str, Callable[[Sequence[float], Summed], float]]] = MappingProxyType(
    {
        "none": lambda numbers, summed: 1.0,
        "sum1": lambda numbers, summed: sum(abs(number) for number in numbers),
        "sqrt": lambda numbers, summed: math.hypot(*numbers),
        "max-fro": lambda numbers, summed: _excess(*summed()),
    }
)
"""Normalisation -> what a merged change is divided by, given the weights of all adapters at its
place, and a function that gives the merged change and the weighted changes that went in.

`sum1` makes the sizes of the weights add up to 1; `sqrt` their squares, which gives unrelated
adapters of one norm that norm together; `max-fro` lets the merged change's Frobenius norm be no
larger than the largest that went in."""


def _excess(merged: Change, changes: Sequence[Change]) -> float:
    largest = max(change.norm() for change in changes)
    return max(1.0, merged.norm() / largest) if largest > 0 else 1.0
