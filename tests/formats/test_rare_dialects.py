"""Dialects that few files have: read as those read them who know them, or refused by name."""

from __future__ import annotations

import pytest
import torch
from diffusers.loaders import lora_conversion_utils

from loraloom.adapters.site import Site
from loraloom.errors import ModelError
from loraloom.formats.coding import decode, encode
from loraloom.formats.table import FORMATS

WIDTH, RANK = 8, 2


def _pair(down: str, up: str, rows: int = WIDTH):
    return {down: torch.randn(RANK, WIDTH), up: torch.randn(rows, RANK)}


def _xlabs():
    tensors = {}
    for stream in "12":
        for layer, rows in {"qkv": 3 * WIDTH, "proj": WIDTH}.items():
            start = f"double_blocks.3.processor.{layer}_lora{stream}"
            tensors |= _pair(f"{start}.down.weight", f"{start}.up.weight", rows)
    return tensors


def test_xlabs_files_are_read_as_diffusers_reads_them():
    tensors = _xlabs()
    adapter = decode(tensors, {})
    theirs = lora_conversion_utils._convert_xlabs_flux_lora_to_diffusers(dict(tensors))
    modules = {name.rpartition(".lora_")[0] for name in theirs}
    assert {f"{site.part}.{site.module}" for site in adapter.deltas} == modules
    for site, delta in adapter.deltas.items():
        start = f"{site.part}.{site.module}"
        up, down = theirs[f"{start}.lora_B.weight"], theirs[f"{start}.lora_A.weight"]
        torch.testing.assert_close(delta.delta(None), up @ down)
    written = encode(FORMATS["comfyui"], adapter)
    assert written.tensors.keys() == tensors.keys()
    assert all(torch.equal(written.tensors[name], tensor) for name, tensor in tensors.items())


def test_pefts_prefix_before_the_authors_names_needs_no_configuration():
    start = "base_model.model.double_blocks.0.img_attn.qkv"
    tensors = _pair(f"{start}.lora_A.weight", f"{start}.lora_B.weight", 3 * WIDTH)
    adapter = decode(tensors, {})
    sites = [Site("transformer", f"transformer_blocks.0.attn.to_{each}.weight") for each in "qkv"]
    assert list(adapter.deltas) == sites
    whole = tensors[f"{start}.lora_B.weight"] @ tensors[f"{start}.lora_A.weight"]
    torch.testing.assert_close(
        torch.cat([adapter.deltas[site].delta(None) for site in sites]), whole
    )
    assert encode(FORMATS["comfyui"], adapter).tensors.keys() == tensors.keys()
    ours = "base_model.model.transformer_blocks.0.attn.to_q"
    with pytest.raises(ModelError) as caught:
        decode(_pair(f"{ours}.lora_A.weight", f"{ours}.lora_B.weight"), {})
    assert caught.value.code == "format.peft_config_missing"


def test_pefts_prefix_after_the_network_is_no_level_of_it():
    module = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    start = f"unet.base_model.model.{module}"
    adapter = decode(_pair(f"{start}.lora_A.weight", f"{start}.lora_B.weight"), {})
    assert list(adapter.deltas) == [Site("unet", f"{module}.weight")]


def test_an_embedding_of_ai_toolkit_is_kept_under_the_adapters_name():
    start = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    tensors = _pair(f"{start}.lora_A.weight", f"{start}.lora_B.weight")
    tensors |= {"emb_params": torch.randn(2, 768)}
    adapter = decode(tensors, {"ss_output_name": "cat.v2"})
    assert torch.equal(adapter.embeddings["cat_v2"]["emb_params"], tensors["emb_params"])
    assert "emb_params" in encode(FORMATS["diffusers"], adapter).tensors
    assert "bundle_emb.cat_v2.emb_params" in encode(FORMATS["kohya"], adapter).tensors
    assert list(decode(tensors, {}).embeddings) == ["embedding"]


FLAT = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (f"{FLAT}.oft_diag", "format.unread_rotation"),
        (f"{FLAT}.bias_indices", "format.unread_sparse"),
        (f"{FLAT}.bias_values", "format.unread_sparse"),
        ("diffusion_model.img_in.set_weight", "format.unread_whole"),
        ("diffusion_model.img_in.reshape_weight", "format.unread_whole"),
        ("double_blocks.0.img_attn.norm.query_norm.scale", "format.unread_whole"),
        ("_aux.anchor", "format.unread_auxiliary"),
        ("single_blocks.0.processor.qkv_lora.up.weight", "format.unread_xlabs"),
        (f"{FLAT}.lambda_layer", "format.unread_timestep"),
    ],
)
def test_what_is_no_update_of_a_weight_is_refused_by_its_name(name, code):
    beside = _pair(f"{FLAT}.lora_down.weight", f"{FLAT}.lora_up.weight")
    for tensors in ({name: torch.ones(2, 2)}, {**beside, name: torch.ones(2, 2)}):
        with pytest.raises(ModelError) as caught:
            decode(tensors, {})
        assert caught.value.code == code
        assert caught.value.details["keys"] == name
