"""PEFT's patterns, matched as PEFT matches them."""

from __future__ import annotations

import pytest
from peft import LoraConfig
from peft.utils.other import get_pattern_key

from loraloom.adapters.site import Site
from loraloom.formats.lora_config import read_alphas, write_config
from loraloom.formats.outline import Layer

MODULES = [
    "conv_in",
    "down_blocks.1.attentions.0.proj_in",
    "down_blocks.11.attentions.0.proj_in",
    "mid_block.attentions.0.proj_in",
    "up_blocks.0.resnets.1.conv1",
]


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
    sites = {Site("unet", f"{module}.weight"): 4 for module in MODULES}
    alphas = read_alphas({"r": 4, "lora_alpha": 6, "alpha_pattern": patterns}, sites, "test")
    assert {site.module: alpha for site, alpha in alphas.items()} == expected


def test_defaults_are_pefts():
    config = LoraConfig()
    site = Site("unet", "conv_in.weight")
    assert read_alphas({}, {site: config.r}, "test") == {site: config.lora_alpha}


def test_rank_stabilised_alpha_gives_the_same_scale():
    site = Site("unet", "conv_in.weight")
    (alpha,) = read_alphas(
        {"r": 9, "lora_alpha": 6, "use_rslora": True}, {site: 9}, "test"
    ).values()
    assert alpha / 9 == pytest.approx(6 / 9**0.5, rel=1e-15)


def test_written_patterns_read_back():
    layers = {
        Site("text_encoder", f"text_model.encoder.layers.{n}.mlp.fc1.weight"): Layer(
            kind="lora", rank=n % 3 + 1, alpha=n / 7, weight=(8, 8)
        )
        for n in range(12)
    }
    config = write_config(layers)
    ranks = {site: layer.rank for site, layer in layers.items()}
    told = {site: layer.alpha for site, layer in layers.items()}
    assert read_alphas(config, ranks, "test") == told
    # The most common rank needs no pattern.
    assert len(config["rank_pattern"]) == 8
