"""kohya's files: names, alphas, and the header that web UIs read."""

from __future__ import annotations

import json

import pytest
import torch

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.errors import ModelError
from loraloom.formats.coding import decode, encode
from loraloom.formats.hashes import kohya_hashes
from loraloom.formats.kohya import Kohya
from loraloom.formats.tensor_file import TensorFile

TO_Q = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
SITE = Site("unet", "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight")


def _linear(rank, alpha, dtype=torch.float32):
    return Lora(torch.ones(rank, 6, dtype=dtype), torch.ones(5, rank, dtype=dtype), alpha)


def _convolution(rank, alpha):
    return Lora(torch.ones(rank, 6, 3, 3), torch.ones(5, rank, 1, 1), alpha)


def _file(alpha=None, name=TO_Q, rank=4):
    tensors = {
        f"{name}.lora_down.weight": torch.ones(rank, 6),
        f"{name}.lora_up.weight": torch.ones(5, rank),
    }
    return tensors if alpha is None else tensors | {f"{name}.alpha": alpha}


def _header(deltas, **card):
    adapter = Adapter(deltas=deltas, card=Card(family="sd1", **card))
    return encode(Kohya(), adapter).metadata


@pytest.mark.parametrize(
    ("alpha", "scale"),
    [
        (None, 1.0),
        (torch.tensor(0.0), 0.0),
        (torch.tensor(8), 2.0),
        (torch.tensor([2.0], dtype=torch.bfloat16), 0.5),
        (torch.tensor(1 / 3, dtype=torch.float16), float(torch.tensor(1 / 3).half()) / 4),
    ],
)
def test_the_scale_is_alpha_over_rank(alpha, scale):
    delta = decode(_file(alpha), {}).deltas[SITE]
    assert delta.scale == scale
    expected = scale * torch.full((5, 6), 4.0, dtype=torch.float64)
    torch.testing.assert_close(delta.delta(torch.zeros(5, 6)).double(), expected)


def test_alpha_is_written_in_the_type_of_the_factors_unless_that_would_change_it():
    for alpha, dtype in [(8.0, torch.float16), (0.1, torch.float64), (2.0**-20, torch.float16)]:
        adapter = Adapter(deltas={SITE: _linear(4, alpha, torch.float16)}, card=Card(family="sd1"))
        tensor = encode(Kohya(), adapter).tensors[f"{TO_Q}.alpha"]
        assert float(tensor) == alpha
        assert tensor.dtype == dtype
        assert tensor.shape == ()


def test_partial_alphas_stay_partial():
    other = TO_Q.replace("to_q", "to_k")
    tensors = _file(torch.tensor(2.0)) | _file(None, other)
    adapter = decode(tensors, {})
    scales = {site.module[-4:]: delta.scale for site, delta in adapter.deltas.items()}
    assert scales == {"to_q": 0.5, "to_k": 1.0}
    assert encode(Kohya(), adapter).tensors.keys() == tensors.keys()


def test_the_header_of_one_rank():
    header = _header({SITE: _linear(4, 2.0)}, name="cat", triggers=("sks cat", "tail"))
    expected = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": "4",
        "ss_network_alpha": "2.0",
        "ss_network_args": "{}",
        "ss_base_model_version": "sd_v1",
        "ss_v2": "False",
        "ss_output_name": "cat",
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.title": "cat",
        "modelspec.trigger_phrase": "sks cat, tail",
    }
    assert expected.items() <= header.items()
    assert all(isinstance(text, str) for text in header.values())


def test_the_header_of_convolutions_with_their_own_rank():
    one_by_one = Site("unet", "mid_block.attentions.0.proj_in.weight")
    deltas = {
        SITE: _linear(4, 2.0),
        one_by_one: Lora(torch.ones(4, 6, 1, 1), torch.ones(5, 4, 1, 1), 2.0),
        Site("unet", "conv_in.weight"): _convolution(8, 1.0),
        Site("unet", "conv_out.weight"): _convolution(8, 1.0),
    }
    header = _header(deltas)
    assert (header["ss_network_dim"], header["ss_network_alpha"]) == ("4", "2.0")
    arguments = json.loads(header["ss_network_args"])
    assert arguments == {"conv_dim": "8", "conv_alpha": "1.0"}


def test_the_header_of_mixed_ranks():
    other = Site("unet", "mid_block.attentions.0.transformer_blocks.0.attn1.to_k.weight")
    header = _header({SITE: _linear(4, 2.0), other: _linear(3, 2.0)})
    assert (header["ss_network_dim"], header["ss_network_alpha"]) == ("Dynamic", "2.0")


def test_what_the_card_knows_is_told_in_kohyas_keys():
    header = _header(
        {SITE: _linear(4, 2.0)},
        base="some base",
        base_hash="cd" * 32,
        recipe={"learning_rate": 1e-4, "seed": 7, "min_snr_gamma": None, "shuffle_caption": True},
        facts={
            "steps": 120,
            "images": 12,
            "tag_frequency": {"10_고양이": {"cat": 12}},
            "network_args": {"dropout": "0.1", "conv_dim": "99"},
            "ss_unheard_of": "kept",
        },
    )
    expected = {
        "ss_sd_model_name": "some base",
        "ss_new_sd_model_hash": "cd" * 32,
        "ss_learning_rate": "0.0001",
        "ss_seed": "7",
        "ss_min_snr_gamma": "None",
        "ss_shuffle_caption": "True",
        "ss_steps": "120",
        "ss_num_train_images": "12",
        "ss_tag_frequency": '{"10_고양이": {"cat": 12}}',
        "ss_network_args": '{"dropout": "0.1"}',
        "ss_unheard_of": "kept",
    }
    assert expected.items() <= header.items()


def test_the_hashes_are_of_the_tensors_and_kohyas_part_of_the_header():
    adapter = Adapter(deltas={SITE: _linear(4, 2.0)}, card=Card(family="sd1"))
    encoded = encode(Kohya(), adapter)
    trainers = {key: text for key, text in encoded.metadata.items() if key.startswith("ss_")}
    file = TensorFile(encoded.tensors, trainers)
    expected = kohya_hashes(file.header, file.data)
    assert expected.items() <= encoded.metadata.items()


def test_another_trainers_header_becomes_a_card():
    metadata = {
        "ss_output_name": "cat",
        "ss_sd_model_name": "v1-5-pruned.safetensors",
        "ss_new_sd_model_hash": "ef" * 32,
        "ss_learning_rate": "0.0001",
        "ss_unet_lr": "None",
        "ss_seed": "42",
        "ss_shuffle_caption": "True",
        "ss_flip_aug": "perhaps",
        "ss_steps": "1600",
        "ss_tag_frequency": '{"10_sks cat": {"cat": 5}}',
        "ss_network_args": '{"conv_dim": "8"}',
        "ss_network_dim": "32",
        "ss_unheard_of": "kept",
        "sshs_model_hash": "00",
        "modelspec.trigger_phrase": "sks cat, tail",
        "modelspec.author": "someone",
        "made_with": "love",
    }
    card = decode(_file(), metadata).card
    assert card == Card(
        family="sd1",
        name="cat",
        base="v1-5-pruned.safetensors",
        base_hash="ef" * 32,
        triggers=("sks cat", "tail"),
        recipe={
            "learning_rate": 1e-4,
            "seed": 42,
            "shuffle_caption": True,
            "flip_aug": "perhaps",
        },
        facts={
            "steps": 1600,
            "tag_frequency": {"10_sks cat": {"cat": 5}},
            "network_args": {"conv_dim": "8"},
            "ss_unheard_of": "kept",
            "modelspec.author": "someone",
            "made_with": "love",
        },
    )


def test_another_trainers_header_survives_an_edit():
    metadata = {
        "ss_steps": "1600",
        "ss_tag_frequency": '{"10_sks cat": {"cat": 5}}',
        "ss_unheard_of": "kept",
        "modelspec.author": "someone",
    }
    edited = decode(_file(), metadata).with_card(name="new")
    assert metadata.items() <= encode(Kohya(), edited).metadata.items()


@pytest.mark.parametrize("name", ["lora_te_encoder_layers_0_mlp_fc1"])
def test_a_name_without_text_model_is_read_and_kept(name):
    tensors = _file(torch.tensor(2.0), name)
    adapter = decode(tensors, {})
    assert set(adapter.deltas) == {
        Site("text_encoder", "text_model.encoder.layers.0.mlp.fc1.weight")
    }
    assert encode(Kohya(), adapter).tensors.keys() == tensors.keys()
    edited = adapter.with_card(name="new")
    written = encode(Kohya(), edited).tensors
    assert all(key.startswith("lora_te_text_model_encoder_layers_0_") for key in written)


@pytest.mark.parametrize(
    ("tensors", "code", "words"),
    [
        (_file() | {f"{TO_Q}.lora_end.weight": torch.ones(4, 4)}, "format.nearly", "lora_end"),
        (_file() | {f"{TO_Q}.lora_mid.weight": torch.ones(4, 4)}, "adapter.factors", "mid (4, 4)"),
        (_file(name="lora_unet_input_pots_1_1_proj_in"), "format.unknown", "input_pots"),
        (
            _file(name="lora_te_encoder_layers_0_mlp_fc1")
            | _file(name="lora_te_text_model_encoder_layers_0_mlp_fc1"),
            "format.claimed_twice",
            "lora_te_text_model_encoder_layers_0_mlp_fc1",
        ),
        ({f"{TO_Q}.lora_down.weight": torch.ones(4, 6)}, "format.parts", "down"),
        ({f"{TO_Q}.alpha": torch.tensor(1.0)}, "format.parts", "to_q"),
        (_file(torch.ones(2)), "format.alpha", "alpha"),
        (_file(torch.tensor(float("nan"))), "format.alpha", "nan"),
        (_file(rank=0), "format.shapes", "(0, 6)"),
        (_file() | {f"{TO_Q}.lora_up.weight": torch.ones(())}, "format.shapes", "up ()"),
        (_file() | {f"{TO_Q}.lora_up.weight": torch.ones(5, 3)}, "adapter.factors", "(5, 3)"),
    ],
)
def test_a_broken_file_is_refused_by_name(tensors, code, words):
    with pytest.raises(ModelError) as caught:
        decode(tensors, {}, where="cat.safetensors")
    assert caught.value.code == code
    assert words in str(caught.value)
    assert words in caught.value.message("ko")


def test_a_family_without_flat_names_cannot_be_written():
    adapter = Adapter(deltas={SITE: _linear(4, 2.0)}, card=Card(family="unheard of"))
    with pytest.raises(ModelError) as caught:
        encode(Kohya(), adapter)
    assert caught.value.code == "format.no_way"
    assert "attn1.to_q" in str(caught.value)
