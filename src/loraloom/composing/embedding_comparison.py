"""Whether two adapters bring the same token embeddings, and by how much they differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

from torch import Tensor

from loraloom.adapters.adapter import Adapter


@final
@dataclass(frozen=True, kw_only=True)
class EmbeddingDifference:
    """How much two adapters differ in what they teach one token.

    `error` is the norm of the difference of its vectors over the larger norm of the two: 0 where
    both hold the same, 1 where they cannot be held against each other, NaN where either is no
    number. `only` says which one has the token, if not both.
    """

    word: str
    error: float
    only: Literal["first", "second"] | None = None


def compare_embeddings(first: Adapter, second: Adapter) -> tuple[EmbeddingDifference, ...]:
    """Return the difference at every token that either adapter brings, by the tokens' names."""
    return tuple(
        _difference(word, first.embeddings.get(word), second.embeddings.get(word))
        for word in sorted({*first.embeddings, *second.embeddings})
    )


def _difference(
    word: str, one: Mapping[str, Tensor] | None, other: Mapping[str, Tensor] | None
) -> EmbeddingDifference:
    if one is None or other is None:
        only = "first" if other is None else "second"
        return EmbeddingDifference(word=word, error=1.0, only=only)
    return EmbeddingDifference(word=word, error=_error(_by_encoder(one), _by_encoder(other)))


def _by_encoder(parts: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return vectors by their encoder's name, which files with one encoder spell as they like."""
    return {"": next(iter(parts.values()))} if len(parts) == 1 else parts


def _error(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    shapes = [{name: held.shape for name, held in parts.items()} for parts in (one, other)]
    if shapes[0] != shapes[1]:
        return 1.0
    between = math.hypot(
        *(_norm(held.double() - other[name].double()) for name, held in one.items())
    )
    norms = [math.hypot(*(_norm(held) for held in parts.values())) for parts in (one, other)]
    return between / max(norms) if any(norms) else 0.0


def _norm(tensor: Tensor) -> float:
    return math.sqrt(tensor.double().square().sum().item())
