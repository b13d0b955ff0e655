"""Names as the tools write them, and as diffusers reads them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from diffusers.loaders import lora_conversion_utils as reference
from torch import nn

from loraloom.adapters.site import Site, canonical_path
from loraloom.formats.naming.meaning import Halves, Rows
from loraloom.formats.naming.renaming import Spelling
from loraloom.formats.naming.table import FAMILIES
from tests.formats.naming.published import FLUX_TRANSFORMER, flux, network, shapes
from tests.formats.naming.stacking import parted

QKV = ("to_q", "to_k", "to_v")
ADDED = ("add_q_proj", "add_k_proj", "add_v_proj")


# Names out of the documentation and the code of kohya's trainer, of OneTrainer and of ComfyUI.
@pytest.mark.parametrize(
    ("family", "spelling", "name", "part", "modules"),
    [
        (
            "sdxl",
            Spelling.FLAT,
            "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q",
            "unet",
            ["down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"],
        ),
        (
            "sdxl",
            Spelling.FLAT,
            "oft_unet_output_blocks_0_0_in_layers_2",
            "unet",
            ["up_blocks.0.resnets.0.conv1"],
        ),
        (
            "sdxl",
            Spelling.FLAT,
            "lora_unet_label_emb_0_2",
            "unet",
            ["add_embedding.linear_2"],
        ),
        (
            "sdxl",
            Spelling.FLAT,
            "lora_unet_down_blocks_1_attentions_0_proj_in",
            "unet",
            ["down_blocks.1.attentions.0.proj_in"],
        ),
        ("sdxl", Spelling.FLAT, "lora_te2_text_projection", "text_encoder_2", ["text_projection"]),
        (
            "sdxl",
            Spelling.FLAT,
            "lora_te1_encoder_layers_0_mlp_fc1",
            "text_encoder",
            ["text_model.encoder.layers.0.mlp.fc1"],
        ),
        (
            "sdxl",
            Spelling.MODULE,
            "text_encoders.clip_g.transformer.text_model.encoder.layers.31.mlp.fc2",
            "text_encoder_2",
            ["text_model.encoder.layers.31.mlp.fc2"],
        ),
        (
            "sd1",
            Spelling.MODULE,
            "diffusion_model.middle_block.1.proj_in",
            "unet",
            ["mid_block.attentions.0.proj_in"],
        ),
        (
            "sd3",
            Spelling.FLAT,
            "lora_unet_joint_blocks_0_context_block_attn_qkv",
            "transformer",
            [f"transformer_blocks.0.attn.{each}" for each in ADDED],
        ),
        (
            "sd3",
            Spelling.MODULE,
            "diffusion_model.joint_blocks.12.x_block.attn2.qkv",
            "transformer",
            [f"transformer_blocks.12.attn2.{each}" for each in QKV],
        ),
        (
            "sd3",
            Spelling.FLAT,
            "lora_te3_encoder_block_0_layer_0_SelfAttention_q",
            "text_encoder_3",
            ["encoder.block.0.layer.0.SelfAttention.q"],
        ),
        (
            "flux",
            Spelling.FLAT,
            "lora_unet_double_blocks_18_img_attn_qkv",
            "transformer",
            [f"transformer_blocks.18.attn.{each}" for each in QKV],
        ),
        (
            "flux",
            Spelling.FLAT,
            "lora_transformer_single_transformer_blocks_3_attn_to_q",
            "transformer",
            ["single_transformer_blocks.3.attn.to_q"],
        ),
        (
            "flux",
            Spelling.FLAT,
            "lora_te2_encoder_block_0_layer_1_DenseReluDense_wi_0",
            "text_encoder_2",
            ["encoder.block.0.layer.1.DenseReluDense.wi_0"],
        ),
        (
            "flux",
            Spelling.MODULE,
            "double_blocks.0.txt_mlp.2",
            "transformer",
            ["transformer_blocks.0.ff_context.net.2"],
        ),
        (
            "llama",
            Spelling.FLAT,
            "lycoris_model_layers_3_self_attn_q_proj",
            "model",
            ["model.layers.3.self_attn.q_proj"],
        ),
        (
            "llama",
            Spelling.MODULE,
            "language_model.model.layers.0.mlp.gate_proj",
            "model",
            ["language_model.model.layers.0.mlp.gate_proj"],
        ),
    ],
)
def test_known_names(family, spelling, name, part, modules):
    meaning = FAMILIES[family].names_in([name], spelling, "test").meaning(name)
    assert [str(site) for site in meaning.sites] == [f"{part}.{each}.weight" for each in modules]
    assert meaning.rows is Rows.EQUALLY
    assert meaning.halves is Halves.KEPT


@pytest.mark.parametrize(
    ("family", "name", "pieces", "rows", "halves"),
    [
        ("flux", "single_blocks.0.linear1", 4, Rows.SQUARES_FIRST, Halves.KEPT),
        ("flux", "final_layer.adaLN_modulation.1", 1, Rows.EQUALLY, Halves.SWAPPED),
        ("sd3", "final_layer.adaLN_modulation.1", 1, Rows.EQUALLY, Halves.SWAPPED),
        (
            "sd3",
            "joint_blocks.23.context_block.adaLN_modulation.1",
            1,
            Rows.EQUALLY,
            Halves.SWAPPED_IF_TWO,
        ),
    ],
)
def test_names_whose_rows_are_otherwise(family, name, pieces, rows, halves):
    meaning = FAMILIES[family].names_in([name], Spelling.MODULE, "test").meaning(name)
    assert (len(meaning.sites), meaning.rows, meaning.halves) == (pieces, rows, halves)


@pytest.mark.parametrize(
    ("family", "spelling", "name"),
    [
        ("sd1", Spelling.FLAT, "lora_te2_text_model_encoder_layers_0_mlp_fc1"),
        ("sd1", Spelling.FLAT, "lora_unet_label_emb_0_0"),
        ("sd1", Spelling.FLAT, "lora_unet_input_blocks_4_1"),
        ("sdxl", Spelling.FLAT, "lora_te_text_model_encoder_layers_0_mlp_fc1"),
        ("flux", Spelling.FLAT, "lora_unet_double_blocks_0_img_attn_qkv_"),
        ("flux", Spelling.FLAT, "lora_unet_double_blocks_0_img_attn.qkv"),
        ("flux", Spelling.MODULE, "diffusion_model.transformer_blocks.0.attn.to_q"),
        ("flux", Spelling.MODULE, "diffusion_model."),
        ("sd3", Spelling.FLAT, "lora_unet_"),
        ("llama", Spelling.FLAT, "lora_unet_model_layers_3_self_attn_q_proj"),
    ],
)
def test_other_names_are_not_guessed(family, spelling, name):
    assert FAMILIES[family].names_in([name], spelling, "test").meaning(name) is None


def test_a_weight_that_kohya_stacks_has_no_flat_name_of_its_own():
    q = Site("transformer", "transformer_blocks.0.attn.to_q.weight")
    family = FAMILIES["flux"]
    assert family.knows(q)
    assert family.flat(q) is None
    holder = family.names_for([q], Spelling.FLAT, "test").holder(q)
    assert holder.name == "lora_unet_double_blocks_0_img_attn_qkv"
    assert holder.meaning.sites[0] == q
    assert len(holder.meaning.sites) == 3
    assert family.site(holder.name) is None


def test_the_module_of_a_bias_has_the_weights_name():
    bias = Site("unet", "conv_in.bias")
    holder = FAMILIES["sdxl"].names_for([bias], Spelling.FLAT, "test").holder(bias)
    assert holder.name == "lora_unet_input_blocks_0_0"
    assert holder.meaning.site == bias


def test_weights_of_no_network_have_no_name():
    for site in (Site("vae", "conv_in.weight"), Site("unet", "conv_in2.weight")):
        assert FAMILIES["sdxl"].names_for([site], Spelling.FLAT, "test").holder(site) is None


def test_sdxl_names_are_read_as_diffusers_reads_them():
    unet = network("sdxl", "unet")
    paths = [p for p, m in unet.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    sites = [Site("unet", f"{path}.weight") for path in paths]
    names = FAMILIES["sdxl"].names_for(sites, Spelling.FLAT, "test")
    file = {f"{names.holder(site).name}.lora_down.weight": site for site in sites}
    assert len(file) == len(sites)
    config = SimpleNamespace(layers_per_block=2)
    mapped = reference._maybe_map_sgm_blocks_to_diffusers(dict(file), config)
    read = {
        _plain(reference._convert_unet_lora_key(key)): site.module for key, site in mapped.items()
    }
    assert read == {path: path for path in paths}


def _plain(key: str) -> str:
    """Return the module in one of diffusers' old keys."""
    key = key.removesuffix(".lora.down.weight").removesuffix("_lora.down.weight")
    return key.replace(".processor", "").replace(".to_out", ".to_out.0")


def test_flux_names_are_read_as_diffusers_reads_them_row_by_row():
    with torch.device("meta"):
        model = flux(**FLUX_TRANSFORMER | {"num_layers": 1, "num_single_layers": 1})
    weights = shapes("transformer", model)
    blocks = [s for s in weights if "blocks." in s.path and len(weights[s]) == 2]
    names = FAMILIES["flux"].names_for(blocks, Spelling.FLAT, "test")
    file: dict[str, torch.Tensor] = {}
    expected: dict[str, torch.Tensor] = {}
    for name, meaning in {h.name: h.meaning for h in map(names.holder, blocks)}.items():
        rows = sum(weights[site][0] for site in meaning.sites)
        columns = weights[meaning.sites[0]][1]
        up = torch.arange(rows, dtype=torch.float32)[:, None]
        file[f"{name}.lora_up.weight"] = up
        file[f"{name}.lora_down.weight"] = torch.ones(1, columns)
        file[f"{name}.alpha"] = torch.tensor(1.0)
        parts = parted(meaning, up, columns)
        assert {site: len(part) for site, part in parts.items()} == {
            site: weights[site][0] for site in parts
        }
        expected |= {f"{site.part}.{site.module}.lora_B.weight": t for site, t in parts.items()}
    read = reference._convert_kohya_flux_lora_to_diffusers(file)
    ups = {key: tensor for key, tensor in read.items() if "lora_B" in key}
    assert ups.keys() == expected.keys()
    assert all(torch.equal(ups[key], expected[key]) for key in ups)


@pytest.mark.parametrize("kind", ["Llama", "Mistral", "Qwen2", "Qwen3", "Gemma", "Gemma3", "Phi3"])
def test_causal_language_models_have_these_names(kind):
    import transformers

    config = getattr(transformers, f"{kind}TextConfig" if kind == "Gemma3" else f"{kind}Config")
    settings = {"num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 32, "head_dim": 8}
    settings |= {
        "vocab_size": 64,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "pad_token_id": 0,
    }
    with torch.device("meta"):
        model = getattr(transformers, f"{kind}ForCausalLM")(config(**settings))
    sites = list(shapes("model", model))
    family = FAMILIES["llama"]
    assert [site for site in sites if not family.knows(site)] == []
    assert all(site.path.startswith(("model.", "lm_head.")) for site in sites)
    assert canonical_path("model", sites[0].path) == sites[0].path
    names = family.names_for(sites, Spelling.FLAT, "test")
    flat = {site.module: names.holder(site).name for site in sites}
    assert len(set(flat.values())) == len(flat)
    back = family.names_in(list(flat.values()), Spelling.FLAT, "test")
    assert {module: back.meaning(name).site.module for module, name in flat.items()} == {
        m: m for m in flat
    }
