"""The spellings that other programs give the same weights, family by family."""

from __future__ import annotations

import pytest
import torch

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.errors import ModelError
from loraloom.formats.coding import decode, encode
from loraloom.formats.table import FORMATS

BLOCK = "attentions.0.transformer_blocks.0"
UNET = [f"down_blocks.1.{BLOCK}.attn1.to_q", f"mid_block.{BLOCK}.ff.net.0.proj", "conv_in"]
CLIP = ["text_model.encoder.layers.3.self_attn.out_proj", "text_model.encoder.layers.0.mlp.fc1"]
T5 = ["encoder.block.1.layer.0.SelfAttention.q", "encoder.block.1.layer.1.DenseReluDense.wi_0"]
MODULES = {
    "sd1": {"unet": UNET, "text_encoder": CLIP},
    "sd2": {"unet": UNET, "text_encoder": CLIP},
    "sdxl": {
        "unet": [*UNET, "add_embedding.linear_1"],
        "text_encoder": CLIP,
        "text_encoder_2": [*CLIP, "text_projection"],
    },
    "sd3": {
        "transformer": ["transformer_blocks.2.ff.net.2", "transformer_blocks.2.attn.to_out.0"],
        "text_encoder": CLIP,
        "text_encoder_2": CLIP,
        "text_encoder_3": T5,
    },
    "flux": {
        "transformer": [
            "x_embedder",
            "transformer_blocks.2.ff_context.net.2",
            "single_transformer_blocks.30.proj_out",
            "time_text_embed.guidance_embedder.linear_1",
            "norm_out.linear",
        ],
        "text_encoder": CLIP,
        "text_encoder_2": T5,
    },
    "llama": {"model": ["model.layers.0.self_attn.q_proj", "model.layers.11.mlp.down_proj"]},
}
# llama has no flat names of its own, and its files are PEFT's.
FORMATS_OF = {
    family: ["kohya", "lycoris", "comfyui", "onetrainer", "diffusers", "peft", "native"]
    for family in MODULES
} | {"llama": ["peft", "native"]}
CASES = [(family, format) for family, formats in FORMATS_OF.items() for format in formats]


def _lora(index, rank=2):
    generator = torch.Generator().manual_seed(index)
    down, up = (torch.randn(size, generator=generator) for size in ((rank, 6), (4, rank)))
    return Lora(down, up, rank / 2)


def _adapter(family):
    sites = [
        Site(part, f"{module}.weight")
        for part, modules in MODULES[family].items()
        for module in modules
    ]
    deltas = {site: _lora(index) for index, site in enumerate(sites)}
    return Adapter(deltas=deltas, card=Card(family=family, name="cat"))


@pytest.mark.parametrize(("family", "format"), CASES)
def test_every_family_goes_through_every_format(family, format):
    adapter = _adapter(family)
    encoded = encode(FORMATS[format], adapter)
    read = decode(encoded.tensors, encoded.metadata, encoded.config)
    assert read.deltas.keys() == adapter.deltas.keys()
    assert read.card == adapter.card
    for site, delta in adapter.deltas.items():
        assert read.deltas[site].alpha == delta.alpha
        for part, tensor in delta.parts().items():
            assert torch.equal(read.deltas[site].parts()[part], tensor)


@pytest.mark.parametrize(("family", "format"), CASES)
def test_names_alone_tell_the_weights(family, format):
    """Without our entry in the header, as in everybody else's files."""
    adapter = _adapter(family)
    encoded = encode(FORMATS[format], adapter)
    metadata = {key: text for key, text in encoded.metadata.items() if key.startswith("ss_")}
    needed = {
        key: text
        for key, text in encoded.metadata.items()
        if key.startswith(("lora_", "loraloom."))
    }
    read = decode(encoded.tensors, metadata | needed, encoded.config)
    assert read.deltas.keys() == adapter.deltas.keys()


def _pair(name, down="lora_down.weight", up="lora_up.weight"):
    return {f"{name}.{down}": torch.ones(2, 6), f"{name}.{up}": torch.ones(4, 2)}


PEFTS = ("lora_A.weight", "lora_B.weight")
IN_MEMORY = ("lora_A.default.weight", "lora_B.default.weight")
TRANSFORMERS = ("lora_linear_layer.down.weight", "lora_linear_layer.up.weight")
ATTN = "attn1.to_q"
FLUX_Q = "transformer_blocks.0.attn.to_q"
READ = [
    # kohya's, in latent-diffusion's names and diffusers', for SDXL.
    ("lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q", (), "kohya", "sdxl",
     f"unet.down_blocks.1.{BLOCK}.{ATTN}"),
    ("lora_unet_add_embedding_linear_2", (), "kohya", "sdxl", "unet.add_embedding.linear_2"),
    ("lora_te2_text_projection", (), "kohya", "", "text_encoder_2.text_projection"),
    ("lora_te_encoder_layers_0_mlp_fc1", (), "kohya", "sd1",
     "text_encoder.text_model.encoder.layers.0.mlp.fc1"),
    # SimpleTuner's LyCORIS, OneTrainer's legacy flat names.
    ("lycoris_single_transformer_blocks_0_proj_mlp", (), "kohya", "flux",
     "transformer.single_transformer_blocks.0.proj_mlp"),
    ("lora_transformer_single_transformer_blocks_0_attn_to_q", (), "kohya", "flux",
     "transformer.single_transformer_blocks.0.attn.to_q"),
    # ComfyUI's and ai-toolkit's.
    ("diffusion_model.double_blocks.0.img_attn.proj", PEFTS, "comfyui", "flux",
     "transformer.transformer_blocks.0.attn.to_out.0"),
    ("double_blocks.0.img_mlp.0", PEFTS, "comfyui", "flux",
     "transformer.transformer_blocks.0.ff.net.0.proj"),
    ("diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q", (), "comfyui", "",
     f"unet.down_blocks.1.{BLOCK}.{ATTN}"),
    ("diffusion_model.double_blocks.0.img_mlp.0", IN_MEMORY, "comfyui", "flux",
     "transformer.transformer_blocks.0.ff.net.0.proj"),
    ("diffusion_model.double_blocks.0.img_mlp.2", ("lora_A", "lora_B"), "comfyui", "flux",
     "transformer.transformer_blocks.0.ff.net.2"),
    ("text_encoders.clip_g.transformer.text_model.encoder.layers.0.mlp.fc1", (), "comfyui", "",
     "text_encoder_2.text_model.encoder.layers.0.mlp.fc1"),
    ("transformer.transformer_blocks.0.attn.to_q", PEFTS, "diffusers", "",
     f"transformer.{FLUX_Q}"),
    # diffusers' without the network.
    (f"mid_block.{BLOCK}.{ATTN}", PEFTS, "diffusers", "sd1", f"unet.mid_block.{BLOCK}.{ATTN}"),
    ("text_encoder.text_model.encoder.layers.0.mlp.fc1", TRANSFORMERS, "diffusers", "sd1",
     "text_encoder.text_model.encoder.layers.0.mlp.fc1"),
    # OneTrainer's own, two ways.
    (f"lora_unet.mid_block.{BLOCK}.{ATTN}", (), "onetrainer", "sd1",
     f"unet.mid_block.{BLOCK}.{ATTN}"),
    ("transformer.double_blocks.0.img_attn.qkv.1", (), "onetrainer", "flux",
     "transformer.transformer_blocks.0.attn.to_k"),
    ("transformer.single_blocks.0.linear1.3", (), "onetrainer", "flux",
     "transformer.single_transformer_blocks.0.proj_mlp"),
    ("unet.middle_block.0.in_layers.2", (), "onetrainer", "sd1", "unet.mid_block.resnets.0.conv1"),
    ("lora_te2.encoder.block.0.layer.0.SelfAttention.q", (), "onetrainer", "flux",
     "text_encoder_2.encoder.block.0.layer.0.SelfAttention.q"),
    ("clip_g.text_model.encoder.layers.0.mlp.fc1", (), "onetrainer", "",
     "text_encoder_2.text_model.encoder.layers.0.mlp.fc1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "endings", "dialect", "family", "place"), READ)
def test_a_spelling_is_read_and_kept(name, endings, dialect, family, place):
    tensors = _pair(name, *endings)
    adapter = decode(tensors, {})
    assert [str(site) for site in adapter.deltas] == [f"{place}.weight"]
    assert adapter.origin.dialect == dialect
    assert family in ("", adapter.card.family)
    assert encode(FORMATS[dialect], adapter).tensors.keys() == tensors.keys()


def test_ai_toolkit_keeps_alpha_and_magnitude_beside_the_factors():
    name = f"transformer.{FLUX_Q}"
    tensors = _pair(name, *PEFTS) | {
        f"{name}.alpha": torch.tensor(1.0),
        f"{name}.magnitude": torch.arange(1.0, 5.0),
    }
    ((_, delta),) = decode(tensors, {}).deltas.items()
    assert (delta.kind, delta.alpha, delta.axis) == ("dora", 1.0, "output")
    tensors = {
        f"{name}.lokr_w1": torch.ones(2, 2),
        f"{name}.lokr_w2_a": torch.ones(2, 1),
        f"{name}.lokr_w2_b": torch.ones(1, 3),
        f"{name}.alpha": torch.tensor(0.5),
    }
    ((_, delta),) = decode(tensors, {}).deltas.items()
    assert (delta.kind, delta.scale) == ("lokr", 0.5)


def test_onetrainers_diffusers_files_have_input_magnitudes():
    name = f"unet.mid_block.{BLOCK}.{ATTN}"
    tensors = _pair(name, *PEFTS) | {f"{name}.dora_scale": torch.ones(1, 6)}
    ((_, delta),) = decode(tensors, {}).deltas.items()
    assert (delta.kind, delta.axis) == ("dora", "input")


def test_a_bias_of_pefts_takes_part_in_the_scale():
    name = f"unet.mid_block.{BLOCK}.attn1.to_out.0"
    tensors = _pair(name, *PEFTS) | {f"{name}.lora_B.bias": torch.arange(4.0)}
    tensors[f"{name}.alpha"] = torch.tensor(0.6)
    adapter = decode(tensors, {})
    bias = adapter.deltas[Site("unet", f"mid_block.{BLOCK}.attn1.to_out.0.bias")]
    torch.testing.assert_close(bias.diff, 0.3 * torch.arange(4.0))
    written = encode(FORMATS["diffusers"], adapter).tensors
    assert all(torch.equal(written[key], tensor) for key, tensor in tensors.items())


def test_old_unprefixed_processors_are_read_whole():
    """diffusers 0.42 loads none of their layers, and says nothing."""
    tensors = {
        f"mid_block.{BLOCK}.attn{n}.processor.to_{p}_lora.{end}.weight": tensor
        for n in (1, 2)
        for p in ("q", "k", "v", "out")
        for end, tensor in (("down", torch.ones(2, 6)), ("up", torch.ones(6, 2)))
    }
    assert len(decode(tensors, {}).deltas) == 8


def test_raw_files_of_pefts_need_their_configuration():
    """diffusers 0.42 loads none of their layers, and says nothing."""
    tensors = _pair(f"base_model.model.mid_block.{BLOCK}.{ATTN}", *PEFTS)
    with pytest.raises(ModelError) as caught:
        decode(tensors, {}, where="raw.safetensors")
    assert caught.value.code == "format.peft_config_missing"
    ((site, delta),) = decode(tensors, {}, {"": {"r": 2, "lora_alpha": 8}}).deltas.items()
    assert (site.part, delta.scale) == ("unet", 4.0)


def test_the_edge_modules_of_flux_are_read():
    """diffusers 0.42 converts these without the network's name, and loads none of them."""
    flat = ("img_in", "txt_in", "time_in_in_layer", "vector_in_out_layer", "final_layer_linear")
    tensors = {k: t for name in flat for k, t in _pair(f"lora_unet_{name}").items()}
    tensors |= _pair("lora_te3_encoder_block_0_layer_0_SelfAttention_q")
    adapter = decode(tensors, {"ss_base_model_version": "flux1"})
    assert adapter.card.family == "flux"
    assert {str(site) for site in adapter.deltas} >= {
        "transformer.x_embedder.weight",
        "transformer.time_text_embed.text_embedder.linear_2.weight",
        "text_encoder_2.encoder.block.0.layer.0.SelfAttention.q.weight",
    }


@pytest.mark.parametrize(
    ("metadata", "family"),
    [
        ({}, "sd1"),
        ({"ss_base_model_version": "sdxl_base_v1-0"}, "sdxl"),
        ({"ss_v2": "True"}, "sd2"),
        ({"modelspec.architecture": "stable-diffusion-v2-512/lora"}, "sd2"),
        ({"ss_base_model_version": "flux1"}, "sd1"),
    ],
)
def test_the_header_decides_between_families_of_equal_names(metadata, family):
    name = f"lora_unet_mid_block_{BLOCK.replace('.', '_')}_attn1_to_q"
    assert decode(_pair(name), metadata).card.family == family


@pytest.mark.parametrize(("width", "family"), [(768, "sd1"), (1024, "sd2"), (2048, "sdxl")])
def test_the_width_of_the_conditioning_decides_without_a_header(width, family):
    name = f"lora_unet_mid_block_{BLOCK.replace('.', '_')}_attn2_to_k"
    tensors = {
        f"{name}.lora_down.weight": torch.ones(2, width),
        f"{name}.lora_up.weight": torch.ones(4, 2),
    }
    assert decode(tensors, {}).card.family == family
