"""PiSSA and OLoRA: PEFT's factors and base, and a true conversion back to plain LoRA."""

from __future__ import annotations

import peft
import pytest
import torch
from torch import nn

from loraloom.adapters.lora import Lora
from loraloom.adapters.olora import olora
from loraloom.adapters.pissa import pissa
from loraloom.adapters.residual import relative_to_base, residual

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")

WAYS = {"pissa": pissa, "olora": olora}
EVERY_WAY = pytest.mark.parametrize("way", WAYS)


@EVERY_WAY
def test_factors_and_base_are_pefts(way, generator):
    layer = nn.Linear(12, 16, bias=False)
    weight = layer.weight.detach().clone()
    config = peft.LoraConfig(target_modules=["0"], r=3, lora_alpha=5, init_lora_weights=way)
    wrapped = peft.inject_adapter_in_model(config, nn.Sequential(layer))[0]
    start = WAYS[way](weight, 3, 5.0)
    theirs = Lora(wrapped.lora_A["default"].weight.data, wrapped.lora_B["default"].weight.data, 5.0)
    # Singular vectors are determined up to a sign, their product is whole.
    torch.testing.assert_close(start.delta(None), theirs.delta(None), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(start.down.abs(), theirs.down.abs(), rtol=1e-3, atol=1e-4)
    base = wrapped.base_layer.weight.data
    torch.testing.assert_close(residual(weight, start), base, rtol=1e-4, atol=1e-5)


@EVERY_WAY
def test_a_rank_above_the_weights_own_takes_all_of_it(way, generator):
    weight = torch.randn(6, 4, generator=generator)
    start = WAYS[way](weight, 9, 5.0)
    assert start.rank == 4
    expected = weight if way == "pissa" else weight * start.scale
    torch.testing.assert_close(start.delta(None), expected, rtol=1e-4, atol=1e-5)


@EVERY_WAY
@pytest.mark.parametrize("shape", [(12, 16), (16, 12), (8, 6, 3, 3)], ids=str)
def test_what_is_trained_is_a_plain_lora_of_the_untouched_base(way, shape, generator):
    weight = torch.randn(shape, generator=generator, dtype=torch.float64)
    start = WAYS[way](weight, 3, 5.0)
    assert start.claimed_shape == shape
    for alpha in (5.0, 2.0, 0.0):
        trained = Lora(
            torch.randn(start.down.shape, generator=generator, dtype=torch.float64),
            torch.randn(start.up.shape, generator=generator, dtype=torch.float64),
            alpha,
        )
        plain = relative_to_base(trained, start)
        assert plain.rank == 6
        live = residual(weight, start) + trained.delta(weight)
        torch.testing.assert_close(weight + plain.delta(weight), live)
    untrained = relative_to_base(start, start)
    assert untrained.delta(weight).abs().max() < 1e-12
    torch.testing.assert_close(residual(weight, start) + start.delta(weight), weight)


def test_pissa_begins_as_the_nearest_matrix_of_its_rank(generator):
    weight = torch.randn(16, 12, generator=generator)
    values = torch.linalg.svdvals(weight)
    rest = residual(weight, pissa(weight, 3, 5.0))
    torch.testing.assert_close(torch.linalg.svdvals(rest)[:9], values[3:], rtol=1e-4, atol=1e-5)


def test_equal_scales_leave_the_factors_as_they_are(generator):
    start = pissa(torch.randn(16, 12, generator=generator), 3, 5.0)
    trained = Lora(start.down.data + 1, start.up.data + 1, 5.0)
    plain = relative_to_base(trained, start)
    assert torch.equal(plain.down, torch.cat([trained.down, start.down]))
    assert torch.equal(plain.up, torch.cat([trained.up, -start.up], dim=1))
