"""PEFT's patterns, matched as PEFT matches them, and the configurations made of them."""

from __future__ import annotations

import pytest
from peft import LoraConfig
from peft.utils.other import get_pattern_key

from loraloom.adapters.site import Site
from loraloom.formats.outline import Layer
from loraloom.formats.peft_config import read_told, write_fields

MODULES = [
    "conv_in",
    "down_blocks.1.attentions.0.proj_in",
    "down_blocks.11.attentions.0.proj_in",
    "mid_block.attentions.0.proj_in",
    "up_blocks.0.resnets.1.conv1",
]


def _layer(rank, alpha=None):
    shapes = {"down": (rank, 8), "up": (8, rank)}
    return Layer(kind="lora", rank=rank, alpha=alpha, weight=(8, 8), shapes=shapes)


def _alphas(config, layers):
    return {place: told.alpha for place, told in read_told(config, layers, "test").items()}


@pytest.mark.parametrize(
    "patterns",
    [
        {},
        {"proj_in": 3},
        {"attentions.0.proj_in": 3, "mid_block.attentions.0.proj_in": 5},
        {"mid_block.attentions.0.proj_in": 5, "attentions.0.proj_in": 3},
        {r"^down_blocks\.1\..*": 3, r".*\.conv\d": 7},
        {"down_blocks.1.attentions.0.proj_in": 2},
        {"_in": 9, "(conv_in|conv1)": 4},
    ],
)
def test_the_first_pattern_that_fits_wins(patterns):
    expected = {
        module: patterns.get(get_pattern_key(patterns.keys(), module), 6) for module in MODULES
    }
    layers = {Site("unet", f"{module}.weight"): _layer(4) for module in MODULES}
    alphas = _alphas({"r": 4, "lora_alpha": 6, "alpha_pattern": patterns}, layers)
    assert {site.module: alpha for site, alpha in alphas.items()} == expected


def test_defaults_are_pefts():
    config = LoraConfig()
    site = Site("unet", "conv_in.weight")
    assert _alphas({}, {site: _layer(config.r)}) == {site: config.lora_alpha}


def test_rank_stabilised_alpha_gives_the_same_scale():
    site = Site("unet", "conv_in.weight")
    config = {"r": 9, "lora_alpha": 6, "use_rslora": True}
    (alpha,) = _alphas(config, {site: _layer(9)}).values()
    assert alpha / 9 == pytest.approx(6 / 9**0.5, rel=1e-15)


def test_written_patterns_read_back():
    layers = {
        Site("text_encoder", f"text_model.encoder.layers.{n}.mlp.fc1.weight"): _layer(
            n % 3 + 1, n / 7
        )
        for n in range(12)
    }
    config = write_fields(layers)
    assert _alphas(config, layers) == {site: layer.alpha for site, layer in layers.items()}
    # The most common rank needs no pattern.
    assert len(config["rank_pattern"]) == 8
