"""The names of Stable Diffusion 1.x: every layer of real networks, both ways."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from loraloom.adapters.site import Site, canonical_path
from loraloom.formats.naming.sd1 import SD1
from loraloom.formats.naming.table import FAMILIES, family_of, part_of

from ...sd15 import sd15_text_encoder, sd15_unet


def _unusual() -> nn.Module:
    return UNet2DConditionModel(
        block_out_channels=(32, 64, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=3,
        transformer_layers_per_block=2,
        cross_attention_dim=16,
    )


def _paths(network: nn.Module) -> list[str]:
    return [p for p, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]


@pytest.mark.parametrize(
    ("part", "build", "count"),
    [
        ("unet", sd15_unet, 282),
        ("unet", _unusual, 420),
        ("text_encoder", sd15_text_encoder, 72),
    ],
)
def test_every_layer_has_one_flat_name_and_comes_back(part, build, count):
    with torch.device("meta"):
        paths = _paths(build())
    assert len(paths) == count
    sites = [Site(part, canonical_path(part, f"{path}.weight")) for path in paths]
    flats = [SD1.flat(site) for site in sites]
    assert None not in flats
    assert len(set(flats)) == len(sites)
    assert [SD1.site(flat) for flat in flats] == sites
    assert family_of(sites) == "sd1"
    assert part_of(paths) == part


# Names out of files that kohya's trainer wrote.
@pytest.mark.parametrize(
    ("flat", "site"),
    [
        (
            "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0",
            "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0.weight",
        ),
        (
            "lora_unet_up_blocks_3_attentions_2_transformer_blocks_0_ff_net_0_proj",
            "unet.up_blocks.3.attentions.2.transformer_blocks.0.ff.net.0.proj.weight",
        ),
        ("lora_unet_mid_block_attentions_0_proj_in", "unet.mid_block.attentions.0.proj_in.weight"),
        (
            "lora_unet_down_blocks_2_downsamplers_0_conv",
            "unet.down_blocks.2.downsamplers.0.conv.weight",
        ),
        (
            "lora_unet_up_blocks_1_resnets_0_time_emb_proj",
            "unet.up_blocks.1.resnets.0.time_emb_proj.weight",
        ),
        ("lora_unet_time_embedding_linear_1", "unet.time_embedding.linear_1.weight"),
        (
            "lora_te_text_model_encoder_layers_11_self_attn_q_proj",
            "text_encoder.text_model.encoder.layers.11.self_attn.q_proj.weight",
        ),
    ],
)
def test_known_names(flat, site):
    assert SD1.site(flat) == Site.parse(site)
    assert SD1.flat(Site.parse(site)) == flat


@pytest.mark.parametrize(
    "flat", ["lora_te_encoder_layers_3_mlp_fc1", "lora_te1_text_model_encoder_layers_3_mlp_fc1"]
)
def test_other_spellings_of_the_text_encoder_are_read(flat):
    site = SD1.site(flat)
    assert site == Site("text_encoder", "text_model.encoder.layers.3.mlp.fc1.weight")
    assert SD1.flat(site) == "lora_te_text_model_encoder_layers_3_mlp_fc1"


@pytest.mark.parametrize(
    "flat",
    [
        "lora_unet_input_blocks_1_1_proj_in",  # SDXL's names
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn3_to_q",
        "lora_unet_down_blocks_00_attentions_0_proj_in",
        "lora_unet_down_blocks_0_attentions_0_proj_in_",
        "lora_unet_down_blocks_٣_attentions_0_proj_in",
        "lora_te2_text_model_encoder_layers_0_mlp_fc1",
        "lora_unetconv_in",
        "",
    ],
)
def test_other_names_are_not_guessed(flat):
    assert SD1.site(flat) is None


def test_a_dotted_name_outside_the_grammar_has_no_flat_one():
    assert SD1.flat(Site("unet", "down_blocks.0.attentions.0.norm.weight")) is None
    assert SD1.flat(Site("vae", "conv_in.weight")) is None


def test_families_are_listed_under_their_names():
    assert FAMILIES
    assert all(family.name == name for name, family in FAMILIES.items())


def test_nothing_is_called_a_family_that_does_not_know_all_sites():
    known = Site("unet", "conv_in.weight")
    assert family_of([known, Site("unet", "somewhere.else.weight")]) == ""
    assert part_of(["conv_in", "somewhere.else"]) == "model"
