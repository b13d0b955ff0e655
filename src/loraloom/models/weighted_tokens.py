"""Prompts of weighted pieces as token ids, each with its weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def weighted_tokens(
    tokenizer: Any, pieces: Sequence[tuple[str, float]]
) -> tuple[list[int], list[float]]:
    """Return the token ids of a prompt and their weights, both as long as the text encoder sees.

    Pieces are tokenized each on its own; what is too long is cut; the start, the end and the
    padding weigh 1. Compared with kohya's trainer, library/strategy_base.py.
    """
    length: int = tokenizer.model_max_length
    ids: list[int] = []
    weights: list[float] = []
    for text, weight in pieces:
        own: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids += own
        weights += [weight] * len(own)
    ids, weights = ids[: length - 2], weights[: length - 2]
    padding = length - 2 - len(ids)
    return (
        [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id] + [tokenizer.pad_token_id] * padding,
        [1.0, *weights, 1.0] + [1.0] * padding,
    )
