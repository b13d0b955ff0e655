"""What LoRA saves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from loraloom.adapters.lora_linear import apply_lora, lora_layers
from loraloom.adapters.lora_savings import LayerSaving, lora_savings


def test_a_layer_of_llama_7b():
    """4096 x 4096 at rank 8: 16,777,216 against 65,536, 0.39 %, 256 times less."""
    with torch.device("meta"):
        model = nn.ModuleDict({"q_proj": nn.Linear(4096, 4096, bias=False)})
    apply_lora(model, ["q_proj"], r=8)
    (layer,) = lora_savings(model).layers
    assert (layer.name, layer.full, layer.lora) == ("q_proj", 16_777_216, 65_536)
    assert layer.full / layer.lora == 256
    assert f"{layer.ratio:.2%}" == "0.39%"
    assert layer.break_even == 2048


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (8, 6), (1, 9), (320, 768), (3, 5)])
def test_the_break_even_is_the_first_rank_that_saves_nothing(rows, columns):
    def saving(rank):
        return LayerSaving(name="", rows=rows, columns=columns, rank=rank)

    even = saving(1).break_even
    assert saving(even).lora >= saving(even).full
    assert even == 1 or saving(even - 1).lora < saving(even - 1).full
    assert saving(even).ratio >= 1


@pytest.fixture
def model():
    layers = {"wide": nn.Linear(64, 96), "small": nn.Linear(4, 3), "other": nn.Linear(5, 5)}
    return apply_lora(nn.ModuleDict(layers), ["wide", "small"], r=2)


def test_the_counts_are_those_of_the_tensors(model):
    savings = lora_savings(model)
    assert [layer.name for layer in savings.layers] == ["wide", "small"]
    assert savings.lora == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert savings.full == sum(layer.original.weight.numel() for _, layer in lora_layers(model))
    assert savings.ratio == savings.lora / savings.full
    assert [layer.ratio < 1 for layer in savings.layers] == [True, False]


def test_it_prints_as_a_table(model):
    lines = str(lora_savings(model)).splitlines()
    assert len(lines) == 4
    assert lines[1].split() == ["wide", "6,144", "320", "5.21%", "2", "39"]
    assert lines[2].split() == ["small", "12", "14", "116.67%", "2", "2"]
    assert lines[3].split() == ["total", "6,156", "334", "5.43%"]
    assert str(lora_savings(nn.Linear(2, 2))).splitlines()[1].split() == [
        "total",
        "0",
        "0",
        "0.00%",
    ]
