"""The names of Stable Diffusion 1.x in kohya's files."""

from __future__ import annotations

import pytest

from loraloom.adapters.site import Site
from loraloom.formats.naming.sd1 import SD1
from loraloom.formats.naming.table import family_of, part_of


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
        "lora_unet_input_blocks_3_1_proj_in",  # a downsampler's place
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
    assert SD1.flat(Site("unet", "down_blocks.0.attentions.0.norm4.weight")) is None
    assert SD1.flat(Site("vae", "conv_in.weight")) is None


def test_nothing_is_called_a_family_that_does_not_know_all_sites():
    known = Site("unet", "conv_in.weight")
    assert family_of([known, Site("unet", "somewhere.else.weight")]) == ""
    assert part_of(["conv_in", "somewhere.else"]) == "model"
