"""Adapters that divide a batch among themselves are worn as one product."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from loraloom.adapters import Adapter, Card, Lora, Site, attach
from loraloom.adapters.packed import Packed
from loraloom.training.rows import divide_rows


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(6, 5), (6,)),
        (nn.Conv2d(6, 5, 3, padding=1), (6, 4, 4)),
        (nn.Conv2d(6, 5, 1), (6, 4, 4)),
    ],
    ids=["linear", "convolution", "pixelwise"],
)
@pytest.mark.parametrize("sizes", [(2, 2, 2), (3, 1, 2)], ids=["even", "uneven"])
def test_what_training_divides_takes_this_way(monkeypatch, generator, layer, shape, sizes):
    taken = []
    added = Packed.added_to

    def counted(self, *arguments):
        taken.append(self)
        return added(self, *arguments)

    monkeypatch.setattr(Packed, "added_to", counted)
    weight = tuple(layer.weight.shape)
    adapters = {}
    for name in ("one", "two", "three"):
        delta = Lora.fresh(weight, 2, 1.0, generator)
        up = torch.randn(delta.up.shape, generator=generator)
        deltas = {Site("model", "0.weight"): Lora(delta.down.data, up, 1.0)}
        adapters[name] = Adapter(deltas=deltas, card=Card(family=""))
    x = torch.randn(6, *shape, generator=generator)
    network = nn.Sequential(layer)
    with attach({"model": network}, adapters, 0.0) as attachment:
        divide_rows(attachment, list(adapters), list(sizes))
        together = network(x)
    assert len(taken) == 1
    begin = 0
    for adapter, size in zip(adapters.values(), sizes, strict=True):
        rows = slice(begin, begin := begin + size)
        with attach({"model": network}, adapter), torch.no_grad():
            torch.testing.assert_close(together[rows], network(x[rows]), rtol=1e-5, atol=1e-5)
