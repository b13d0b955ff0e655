"""An adapter's numbers against those of the layers it adapts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from loraloom.adapters.adapter import Adapter, Card
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.errors import ModelError, UsageError
from loraloom.evaluation.savings import Savings, adapter_savings, weight_shapes

SITE = Site("unet", "layer.weight")


def savings_of(shape: tuple[int, ...], rank: int) -> Savings:
    delta = Lora.fresh(shape, rank, 1.0, torch.Generator().manual_seed(0))
    return adapter_savings(Adapter(deltas={SITE: delta}, card=Card(family="sd1")), {SITE: shape})


@pytest.mark.parametrize(
    ("out", "into", "rank"), [(1000, 2000, 8), (4096, 4096, 8), (320, 768, 4), (5, 7, 32)]
)
def test_a_linear_layer_takes_rank_times_its_two_widths(out: int, into: int, rank: int) -> None:
    saving = savings_of((out, into), rank).best.saving
    assert saving.parameters == rank * (into + out)
    assert saving.replaced == into * out
    assert saving.saved == 1 - rank * (into + out) / (into * out)


def test_a_convolution_counts_its_kernel_once_on_the_way_in() -> None:
    saving = savings_of((64, 32, 3, 3), 4).best.saving
    assert saving.parameters == 4 * (32 * 3 * 3 + 64)
    assert saving.replaced == 64 * 32 * 3 * 3


def test_a_1000_by_2000_layer_at_rank_8_saves_98_8_percent() -> None:
    assert round(100 * savings_of((1000, 2000), 8).layers.saved, 1) == 98.8


def test_a_4096_square_layer_at_rank_8_takes_0_39_percent() -> None:
    saving = savings_of((4096, 4096), 8).layers
    assert (saving.parameters, saving.replaced) == (65_536, 16_777_216)
    assert round(100 * saving.parameters / saving.replaced, 2) == 0.39


def test_a_small_layer_costs_more_than_it_saves(savings: Savings) -> None:
    assert savings.worst.site == "unet.small.weight"
    assert savings.worst.saving.saved == pytest.approx(1 - 4 * 12 / 36)
    assert savings.worst.saving.saved < 0
    assert savings.costly == 1


def test_totals_are_over_the_adapted_layers_and_over_the_network(savings: Savings) -> None:
    parameters = 4 * (100 + 200) + 4 * (6 + 6)
    assert savings.best.site == "unet.wide.weight"
    assert (savings.layers.parameters, savings.layers.replaced) == (parameters, 20_036)
    assert (savings.network.parameters, savings.network.replaced) == (parameters, 30_036)


def test_shapes_are_found_under_canonical_names() -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.final_layer_norm = nn.LayerNorm(3)

    shapes = weight_shapes({"text_encoder": Encoder(), "unet": nn.Linear(2, 5, bias=False)})
    assert shapes == {
        Site("text_encoder", "text_model.final_layer_norm.weight"): (3,),
        Site("text_encoder", "text_model.final_layer_norm.bias"): (3,),
        Site("unet", "weight"): (5, 2),
    }


def test_a_site_without_a_weight_is_named() -> None:
    delta = Lora.fresh((4, 4), 1, 1.0, torch.Generator().manual_seed(0))
    adapter = Adapter(deltas={SITE: delta}, card=Card(family="sd1", name="anime"))
    with pytest.raises(ModelError, match=r"unet\.layer\.weight"):
        adapter_savings(adapter, {})


def test_an_adapter_without_sites_has_no_savings() -> None:
    with pytest.raises(UsageError, match="anime"):
        adapter_savings(Adapter(deltas={}, card=Card(family="sd1", name="anime")), {})
