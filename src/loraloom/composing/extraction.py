"""What sets a tuned checkpoint apart from its base, as an adapter."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch

from loraloom.adapters.card import Card
from loraloom.adapters.eight_bits import is_same
from loraloom.adapters.site import PARTS, Site
from loraloom.composing.base_weights import BaseWeights
from loraloom.composing.change import Dense
from loraloom.composing.checkpoint import PLAIN
from loraloom.composing.fit import Composition, Made
from loraloom.composing.representation import represented
from loraloom.composing.truncation import Truncation
from loraloom.errors import ModelError
from loraloom.formats.excerpt import excerpt


def extract(
    tuned: BaseWeights,
    base: BaseWeights,
    card: Card,
    truncation: Truncation | None = None,
    parts: Collection[str] = PARTS,
    seed: int = 0,
) -> Composition:
    """Return the adapter that makes `tuned` of `base`, and how well.

    Weights become LoRAs of the rank that `truncation` says; biases and norms, and without
    `truncation` all weights, become full differences. What is equal in both has no delta. The
    difference is taken in float32, float64 for float64 weights. Only the networks in `parts` are
    looked at; a weight of theirs that one of the two lacks, or has in another shape, is a
    `ModelError`.
    """
    return Composition.of(extract_sites(tuned, base, truncation, parts, seed), card)


def extract_sites(
    tuned: BaseWeights,
    base: BaseWeights,
    truncation: Truncation | None = None,
    parts: Collection[str] = PARTS,
    seed: int = 0,
) -> Iterator[Made]:
    """Yield what `extract` collects, weight by weight, holding no more than one at a time."""
    own, other = (_in(weights, parts) for weights in (tuned, base))
    odd = sorted(own ^ other, key=str)
    if odd:
        raise ModelError("composing.not_in_both", sites=excerpt(odd), places=tuple(odd))
    for site in tuned.shapes:
        if site not in own:
            continue
        if tuned.shapes[site] != base.shapes[site]:
            raise ModelError(
                "composing.shapes",
                site=site,
                first="the tuned model",
                expected=tuned.shapes[site],
                second="the base",
                found=base.shapes[site],
            )
        after, before = tuned.read(site), base.read(site)
        if is_same(after, before):
            continue
        for weight in (after, before):
            if weight.dtype not in PLAIN:
                raise ModelError("composing.quantised", name=site, dtype=weight.dtype)
        dtype = torch.promote_types(torch.promote_types(after.dtype, before.dtype), torch.float32)
        change = after.to(dtype) - before.to(dtype)
        if change.any():
            dense = Dense(change.reshape(len(change), -1), tuple(change.shape))
            yield represented(site, dense, truncation, seed)


def _in(weights: BaseWeights, parts: Collection[str]) -> set[Site]:
    return {site for site in weights.shapes if site.part in parts}
