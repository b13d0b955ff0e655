"""An adapter as plain data."""

from __future__ import annotations

import pytest
import torch

from loraloom.adapters.adapter import Adapter, Origin
from loraloom.adapters.card import Card
from loraloom.adapters.full import Full
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.adapters.span import Span

Q, K = (Site("unet", f"attn.to_{name}.weight") for name in "qk")
BIAS = Site("text_encoder", "text_model.encoder.fc.bias")


@pytest.fixture
def adapter():
    deltas = {
        Span((Q, K)): Lora(torch.ones(2, 3), torch.ones(8, 2), 1.0),
        BIAS: Full(torch.ones(5)),
    }
    words = {"<s1>": {"clip_l": torch.ones(1, 4)}, "<s2>": {"clip_l": torch.zeros(2, 4)}}
    origin = Origin(dialect="kohya", metadata={}, shapes={})
    return Adapter(deltas=deltas, card=Card(family="sd1"), origin=origin, embeddings=words)


def test_it_tells_where_it_acts(adapter):
    assert adapter.named_parts == ("unet", "text_encoder")
    assert adapter.sites == (Q, K, BIAS)


def test_it_counts_all_of_its_numbers(adapter):
    assert adapter.parameter_count == (2 * 3 + 8 * 2) + 5 + 4 + 8


def test_it_cannot_be_changed_in_place(adapter):
    for held in (adapter.deltas, adapter.embeddings, adapter.embeddings["<s1>"]):
        with pytest.raises(TypeError):
            held["new"] = None


def test_an_edit_drops_the_origin_and_nothing_else(adapter):
    edited = adapter.with_card(name="cat")
    assert edited.origin is None
    assert edited.card == Card(family="sd1", name="cat")
    assert edited.deltas == adapter.deltas
    assert edited.embeddings == adapter.embeddings
