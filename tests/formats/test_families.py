"""Which family a file is for: by names, depths and widths of published models, and by no guess."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from loraloom.adapters.site import Site
from loraloom.errors import ModelError
from loraloom.formats.coding import decode, encode
from loraloom.formats.conversion import convert
from loraloom.formats.files import read_adapter, write_adapter
from loraloom.formats.table import FORMATS, WRITTEN
from tests.formats.naming.published import weights

RANK = 2
LAYERS = {
    "unet": ("1.attentions.0.transformer_blocks.0.attn2.to_k",),
    "transformer": ("transformer_blocks.0.attn.to_q", "transformer_blocks.0.attn.to_k"),
    "text_encoder": ("layers.0.self_attn.q_proj",),
    "text_encoder_2": ("layers.0.self_attn.q_proj", "block.0.layer.0.SelfAttention.q"),
    "text_encoder_3": ("block.0.layer.0.SelfAttention.q",),
}
"""Few layers of each network, with one among them whose width tells the family."""


def _pairs(names: Iterable[tuple[str, tuple[int, ...]]], ends: tuple[str, str]):
    return {
        f"{name}.{end}": torch.zeros((RANK, *shape[1:]) if at == 0 else (shape[0], RANK))
        for name, shape in names
        for at, end in enumerate(ends)
    }


def _diffusers(model: str, part: str, *found: str):
    """Return a LoRA in diffusers' names on the linear layers whose names contain one of these."""
    layers = (
        (f"{part}.{site.module}", shape)
        for site, shape in weights(model, part).items()
        if len(shape) == 2 and site.parameter == "weight" and any(f in site.module for f in found)
    )
    tensors = _pairs(layers, ("lora_A.weight", "lora_B.weight"))
    assert tensors
    return tensors


@pytest.mark.parametrize(
    ("model", "part", "found", "family"),
    [
        ("flux", "transformer", ("transformer_blocks.0.attn.to_",), "flux"),
        ("flux", "transformer", ("transformer_blocks.3.attn.", "transformer_blocks.3.ff"), "flux"),
        ("sd3", "transformer", ("transformer_blocks.0.attn.to_",), "sd3"),
        ("sd3.5", "transformer", ("transformer_blocks.0.attn.to_",), "sd3"),
        ("sd1", "unet", (".attn2.to_k",), "sd1"),
        ("sd2", "unet", (".attn2.to_k",), "sd2"),
        ("sdxl", "unet", ("up_blocks.0.attentions.0.transformer_blocks.9.attn1.",), "sdxl"),
        ("sdxl", "unet", ("up_blocks.0.attentions.0.transformer_blocks.0.attn1.",), "sdxl"),
        ("sdxl", "unet", ("down_blocks.1.attentions.0.transformer_blocks.1.attn1",), "sdxl"),
        ("sd1", "unet", ("down_blocks.0.attentions.0.transformer_blocks.0.attn1.",), ""),
        ("sdxl", "unet", ("down_blocks.1.attentions.0.transformer_blocks.0.attn1.",), ""),
        ("sd1", "text_encoder", ("layers.0.self_attn",), ""),
        ("sd2", "text_encoder", ("layers.0.self_attn",), "sd2"),
        ("sdxl", "text_encoder_2", ("layers.0.self_attn",), ""),
        ("playground", "unet", ("mid_block.attentions.0.transformer_blocks.0.attn1.",), "sd1"),
    ],
)
def test_names_depths_and_widths_tell_the_family(model, part, found, family):
    assert decode(_diffusers(model, part, *found), {}).card.family == family


def _written(tensors, family: str = "", format: str = "kohya"):
    return set(encode(FORMATS[format], decode(tensors, {}, family=family)).tensors)


def test_blocks_of_two_streams_alone_are_written_as_those_of_flux():
    tensors = _diffusers("flux", "transformer", "transformer_blocks.0.attn.", ".0.ff.")
    tensors = {key: t for key, t in tensors.items() if ".single_" not in key}
    assert {name.partition("_double_")[0] for name in _written(tensors)} == {"lora_unet"}


def test_a_family_that_matters_is_asked_for_and_not_guessed():
    tensors = _diffusers("sdxl", "unet", "down_blocks.1.attentions.0.transformer_blocks.0.attn1.")
    with pytest.raises(ModelError) as caught:
        _written(tensors)
    assert caught.value.code == "format.family_open"
    assert caught.value.details["families"] == "sd1, sd2, sdxl"
    start = {name[:30] for name in _written(tensors, "sdxl")}
    assert start == {"lora_unet_input_blocks_4_1_tra"}
    assert {name[:23] for name in _written(tensors, "sd2")} == {"lora_unet_down_blocks_1"}
    for format in ("diffusers", "peft", "native"):
        assert _written(tensors, format=format)


def test_a_family_that_does_not_matter_is_not_asked_for():
    tensors = _diffusers("sdxl", "text_encoder_2", "layers.0.self_attn.q_proj")
    assert {name.partition(".")[0] for name in _written(tensors)} == {
        "lora_te2_text_model_encoder_layers_0_self_attn_q_proj"
    }
    tensors = _diffusers("sd1", "unet", "down_blocks.0.attentions.0.transformer_blocks.0.attn1.")
    assert _written(tensors)


@pytest.mark.parametrize("family", ["flux", "sd3", "sdxl", "llama"])
def test_a_family_that_cannot_be_is_an_error(family):
    with pytest.raises(ModelError) as caught:
        decode(_diffusers("sd1", "unet", ".attn2.to_k"), {}, family=family)
    assert caught.value.code == "format.family_contradicted"
    flat = _pairs([("lora_te_text_model_encoder_layers_0_mlp_fc1", (3072, 768))], KOHYA)
    with pytest.raises(ModelError) as caught:
        decode(flat, {}, family=family)
    assert caught.value.code == "format.family_contradicted"


KOHYA = ("lora_down.weight", "lora_up.weight")
TE = "text_model_encoder_layers_0_self_attn_q_proj"
DOWN = "down_blocks_1_attentions_0_transformer_blocks_0"


@pytest.mark.parametrize(
    ("names", "family"),
    [
        # diffusers' converter says lora_te1 for every family.
        ([(f"lora_te1_{TE}", (768, 768))], ""),
        ([(f"lora_te1_{TE}", (1024, 1024))], "sd2"),
        ([(f"lora_te_{TE}", (768, 768))], "sd1"),
        ([(f"lora_te_{TE}", (1024, 1024))], "sd2"),
        ([(f"lora_te1_{TE}", (768, 768)), (f"lora_unet_{DOWN}_attn2_to_k", (640, 768))], "sd1"),
        ([(f"lora_te1_{TE}", (768, 768)), (f"lora_unet_{DOWN}_attn2_to_k", (640, 2048))], "sdxl"),
        ([("lora_unet_input_blocks_4_1_proj_in", (640, 640))], "sdxl"),
    ],
)
def test_kohyas_prefixes_and_widths_tell_the_family(names, family):
    assert decode(_pairs(names, KOHYA), {}).card.family == family


def test_a_rotation_is_of_the_family_that_has_such_depth():
    start = "oft_unet_input_blocks_7_1_transformer_blocks"
    tensors = {
        f"{start}_{layer}_attn1_to_q.{end}": tensor
        for layer in range(10)
        for end, tensor in {"oft_blocks": torch.zeros(4, 320, 320), "alpha": torch.ones(())}.items()
    }
    adapter = decode(tensors, {})
    assert adapter.card.family == "sdxl"
    assert encode(FORMATS["kohya"], adapter).tensors.keys() == tensors.keys()


@pytest.mark.parametrize(
    ("model", "part"),
    [("sdxl", "text_encoder_2"), ("sd1", "text_encoder"), ("sd2", "text_encoder")],
)
def test_a_text_encoder_alone_is_told_by_its_width(model, part):
    site = Site(part, "text_model.encoder.layers.0.self_attn.q_proj.weight")
    rows, columns = weights(model, part)[site]
    ends = ("lora_A.weight", "lora_B.weight")
    tensors = _pairs([(f"base_model.model.{site.module}", (rows, columns))], ends)
    config = {
        "": {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": ["q_proj"]}
    }
    assert set(decode(tensors, {}, config).deltas) == {site}


def test_the_header_does_not_outweigh_the_weights():
    tensors = _diffusers("sdxl", "unet", ".attn2.to_k")
    assert decode(tensors, {"ss_base_model_version": "sd_v1"}).card.family == "sdxl"
    tensors = _diffusers("sdxl", "unet", "down_blocks.1.attentions.0.transformer_blocks.0.attn1.")
    assert decode(tensors, {"ss_base_model_version": "sdxl_base_v1-0"}).card.family == "sdxl"
    assert decode(tensors, {"ss_v2": "True"}).card.family == "sd2"


def test_a_family_that_was_assumed_is_told(tmp_path):
    name = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    tensors = _pairs([(name, (24, 24))], ("lora_A.weight", "lora_B.weight"))
    save_file(tensors, tmp_path / "small.safetensors")
    warned = convert(tmp_path / "small.safetensors", tmp_path / "kohya.safetensors", "kohya")
    assert [each.code for each in warned] == ["format.family_assumed"]
    assert convert(tmp_path / "small.safetensors", tmp_path / "native.safetensors", "native") == ()


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("sd1", {"unet": ".attn2.to_k", "text_encoder": "layers.0.self_attn"}),
        ("sdxl", {"unet": ".attn2.to_k", "text_encoder_2": "layers.0.self_attn"}),
        ("sdxl", {"text_encoder_2": "layers.0.self_attn"}),
        ("flux", {"transformer": "transformer_blocks.0.attn.to_"}),
    ],
)
def test_a_folder_per_network_of_published_weights_is_read_again(model, parts, tmp_path):
    tensors = {}
    for part, found in parts.items():
        tensors |= _diffusers(model, part, found)
    adapter = decode(tensors, {}, family=model)
    write_adapter(adapter, tmp_path / "folder", "peft")
    read = read_adapter(tmp_path / "folder")
    assert read.deltas.keys() == adapter.deltas.keys()
    assert read.card.family == model


@pytest.mark.parametrize("format", ["native", "diffusers", "kohya"])
def test_a_family_that_was_stated_is_told_by_what_is_written(format):
    tensors = _diffusers("sdxl", "text_encoder_2", "layers.0.self_attn")
    assert decode(tensors, {}).card.family == ""
    stated = decode(tensors, {"ss_base_model_version": "sdxl_base_v1-0"}, family="sd3")
    written = encode(FORMATS[format], stated)
    if format != "diffusers":  # there it is written as it was read
        assert decode(written.tensors, written.metadata).card.family == "sd3"
    plain = encode(FORMATS["native"], decode(tensors, {}, family="sdxl"))
    assert decode(plain.tensors, plain.metadata).card.family == "sdxl"


@pytest.mark.parametrize("format", WRITTEN)
@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("sd1", ("unet", "text_encoder")),
        ("sd2", ("unet", "text_encoder")),
        ("sdxl", ("unet", "text_encoder", "text_encoder_2")),
        ("sd3", ("transformer", "text_encoder_3")),
        ("flux", ("transformer", "text_encoder_2")),
    ],
)
def test_adapters_of_published_widths_go_through_every_format(model, parts, format):
    tensors = {}
    for part in parts:
        tensors |= _diffusers(model, part, *LAYERS[part])
    adapter = decode(tensors, {}, family=model)
    for way in (format, "native", format):
        encoded = encode(FORMATS[way], adapter)
        found = decode(encoded.tensors, encoded.metadata, encoded.config)
        assert set(adapter.deltas) <= set(found.deltas)
        assert found.card.family == model
        adapter = replace(adapter, card=found.card, origin=found.origin)
