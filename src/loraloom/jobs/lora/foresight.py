"""Whether a format will have a place for biases and norms that differ, before the long work."""

from __future__ import annotations

from collections.abc import Collection

import torch

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.full import Full
from loraloom.adapters.lora import Lora
from loraloom.adapters.span import Place
from loraloom.composing.base_weights import BaseWeights
from loraloom.errors import ModelError
from loraloom.formats.coding import encode
from loraloom.formats.table import codec_named
from loraloom.formats.vectors import vector_of
from loraloom.jobs.lora.expressing import advised
from loraloom.jobs.lora.loss import Loss


def require_places(
    tuned: BaseWeights,
    original: BaseWeights,
    card: Card,
    format: str,
    loss: Loss,
    parts: Collection[str],
) -> None:
    """Raise the ModelError that LoRAs of the matrices and the vectors that differ would end in.

    Vectors alone are read. What else the format cannot express is told when it is written: a
    matrix may be the same in both.
    """
    deltas: dict[Place, AbstractDelta] = {}
    for site, shape in tuned.shapes.items():
        if site.part not in parts or original.shapes.get(site) != shape or not shape:
            continue
        rows, *columns = shape
        if columns:
            ones = (1 for _ in columns[1:])
            deltas[site] = Lora(torch.zeros(1, *columns), torch.zeros(rows, 1, *ones), 1.0)
        elif vector_of(site) not in loss.drop:
            first, second = tuned.read(site), original.read(site)
            if first.dtype != second.dtype or not torch.equal(first, second):
                deltas[site] = Full(torch.zeros(rows))
    try:
        encode(codec_named(format), Adapter(deltas=deltas, card=card))
    except ModelError as error:
        refusal = advised(error, loss)
        if refusal is not None and error.details["left_out"] == error.details["places"]:
            raise refusal from error
