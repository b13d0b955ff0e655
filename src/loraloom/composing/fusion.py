"""Adapters written into a checkpoint: every tensor as it is, or with what they add to it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import torch
from torch import Tensor

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.delta import Law
from loraloom.adapters.site import Site
from loraloom.composing.base_weights import BaseWeights
from loraloom.composing.checkpoint import PLAIN, Checkpoint, Stored
from loraloom.composing.holding import Holding
from loraloom.composing.terms import Term, terms_by_site
from loraloom.composing.weights import Weight, check_weights, weight_at, written
from loraloom.errors import ModelError
from loraloom.formats.excerpt import excerpt
from loraloom.formats.naming.meaning import Meaning

_HASHES: Final = ("modelspec.hash_sha256", "sshs_model_hash", "sshs_legacy_hash")


def fuse(
    checkpoint: Checkpoint,
    meanings: Mapping[str, Meaning],
    adapters: Mapping[str, Adapter],
    weights: Mapping[str, Weight],
    law: Law = "linear",
) -> Checkpoint:
    """Return the checkpoint with adapters in it, each tensor computed when it is read.

    A tensor that means weights which adapters change is read as W + sum of s_i * delta_i(W), added
    up in float32 and rounded once to its own number type; any other is read as it is. Names,
    number types, shapes and order stay. The given checkpoint is never written to. Token embeddings
    that come with an adapter are no weights of a network, and stay out.

    A weight that no tensor means, a number type in which nothing can be added (integers, fp8,
    packed quantisation), and a tensor that shares its memory with another are `ModelError`s; when a
    tensor is read, so is a sum that its number type cannot hold.
    """
    check_weights(adapters, weights)
    base = BaseWeights.in_checkpoint(checkpoint, meanings)
    _check_sites(base, adapters, weights)
    terms = terms_by_site(adapters, weights, law, base)
    touched = {
        name: meaning
        for name, meaning in meanings.items()
        if any(site in terms for site in meaning.sites)
    }
    _check_types(checkpoint, touched)
    _check_memory(checkpoint, touched)
    fused = {
        name: _with(name, checkpoint[name], Holding.of(name, meaning, checkpoint), terms)
        for name, meaning in touched.items()
    }
    return {name: fused.get(name, stored) for name, stored in checkpoint.items()}


def fused_metadata(
    metadata: Mapping[str, str], adapters: Mapping[str, Adapter], weights: Mapping[str, Weight]
) -> dict[str, str]:
    """Return the metadata of a fused file: the source's, and under `loraloom.fused` what is in it.

    Hashes of the source's tensors are no longer true, and are left out.
    """
    told = [
        {"name": name, "weight": written(weights[name]), "title": adapter.card.name}
        for name, adapter in adapters.items()
    ]
    kept = {key: text for key, text in metadata.items() if key not in _HASHES}
    return {**kept, "loraloom.fused": json.dumps(told, ensure_ascii=False)}


def _with(
    name: str, stored: Stored, holding: Holding, terms: Mapping[Site, Sequence[Term]]
) -> Stored:
    own = {site: terms[site] for site in holding.sites if site in terms}
    return replace(stored, read=partial(_fused, name, stored.read, holding, own), memory=None)


def _fused(
    name: str, read: Callable[[], Tensor], holding: Holding, terms: Mapping[Site, Sequence[Term]]
) -> Tensor:
    tensor = read()
    exact = torch.promote_types(tensor.dtype, torch.float32)
    changes: list[Tensor] = []
    for site, shape in holding.shapes.items():
        change = torch.zeros(shape[0], math.prod(shape[1:]), dtype=exact)
        for term in terms.get(site, ()):
            term.change().add_to(change)
        changes.append(change.view(shape))
    # The sum is made in the memory of the changes: this is where the largest tensor counts.
    fused = holding.joined(changes).add_(tensor).to(tensor.dtype).contiguous()
    if not fused.isfinite().all():
        raise ModelError("composing.overflow", name=name, dtype=tensor.dtype)
    return fused


def _check_sites(
    base: BaseWeights, adapters: Mapping[str, Adapter], weights: Mapping[str, Weight]
) -> None:
    """Raise ModelError if an adapter is to change a weight that no tensor means."""
    missing = {
        site
        for name, adapter in adapters.items()
        for site in adapter.sites
        if site not in base.shapes and weight_at(weights[name], site)
    }
    if missing:
        places = tuple(sorted(missing, key=str))
        raise ModelError("composing.not_in_checkpoint", sites=excerpt(places), places=places)


def _check_types(checkpoint: Checkpoint, touched: Mapping[str, Meaning]) -> None:
    for name in touched:
        if checkpoint[name].dtype not in PLAIN:
            raise ModelError("composing.quantised", name=name, dtype=checkpoint[name].dtype)


def _check_memory(checkpoint: Checkpoint, touched: Mapping[str, Meaning]) -> None:
    """Raise ModelError if a tensor that is to change lies where another does."""
    places = sorted(
        (*stored.memory, name) for name, stored in checkpoint.items() if stored.memory is not None
    )
    end, owner = 0, ""
    for begin, own_end, name in places:
        if begin < end and (name in touched or owner in touched):
            raise ModelError("composing.tied", first=owner, second=name)
        if own_end > end:
            end, owner = own_end, name
