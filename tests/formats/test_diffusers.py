"""diffusers' files: three spellings of the names, and the configuration in the header."""

from __future__ import annotations

import json

import pytest
import torch

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.errors import ModelError
from loraloom.formats.attention_processors import AttentionProcessors
from loraloom.formats.coding import decode, encode
from loraloom.formats.diffusers import Diffusers

ATTENTION = "mid_block.attentions.0.transformer_blocks.0.attn1"
LAYER = "encoder.layers.0.self_attn"
TO_Q = Site("unet", f"{ATTENTION}.to_q.weight")
TO_OUT = Site("unet", f"{ATTENTION}.to_out.0.weight")
Q_PROJ = Site("text_encoder", f"text_model.{LAYER}.q_proj.weight")
OUT_PROJ = Site("text_encoder", f"text_model.{LAYER}.out_proj.weight")


def _pair(down, up, rank=4):
    return {down: torch.ones(rank, 6), up: torch.ones(5, rank)}


def _today(name, rank=4):
    return _pair(f"{name}.lora_A.weight", f"{name}.lora_B.weight", rank)


def _metadata(**fields):
    return {"lora_adapter_metadata": json.dumps({k.replace("__", "."): fields[k] for k in fields})}


@pytest.mark.parametrize(
    ("down", "site"),
    [
        (f"unet.{ATTENTION}.to_q.lora_A.weight", TO_Q),
        (f"unet.{ATTENTION}.to_out.0.lora.down.weight", TO_OUT),
        (f"text_encoder.text_model.{LAYER}.q_proj.lora_A.weight", Q_PROJ),
        # As diffusers 0.42 saves it on transformers 5.
        (f"text_encoder.{LAYER}.q_proj.lora_A.weight", Q_PROJ),
        (f"text_encoder.text_model.{LAYER}.out_proj.lora_linear_layer.down.weight", OUT_PROJ),
        (f"unet.{ATTENTION}.processor.to_q_lora.down.weight", TO_Q),
        (f"{ATTENTION}.processor.to_out_lora.down.weight", TO_OUT),
        (f"text_encoder.text_model.{LAYER}.to_out_lora.down.weight", OUT_PROJ),
    ],
)
def test_all_spellings_are_read_at_scale_1_and_kept(down, site):
    up = down.replace("lora_A", "lora_B").replace(".down.", ".up.")
    tensors = _pair(down, up)
    adapter = decode(tensors, {"format": "pt"})
    assert set(adapter.deltas) == {site}
    assert adapter.deltas[site].scale == 1
    assert torch.equal(adapter.deltas[site].down, tensors[down])
    assert adapter.card == Card(family="sd1")
    codec = AttentionProcessors() if "to_" in down and "_lora." in down else Diffusers()
    encoded = encode(codec, adapter)
    assert encoded.tensors.keys() == tensors.keys()
    assert encoded.metadata == {"format": "pt"}


def test_other_networks_are_read_though_no_family_is_known():
    adapter = decode(_today("transformer.blocks.3.proj"), {})
    assert set(adapter.deltas) == {Site("transformer", "blocks.3.proj.weight")}
    assert adapter.card.family == ""


def test_the_header_gives_each_network_its_own_alphas():
    tensors = _today(f"unet.{ATTENTION}.to_q") | _today(f"unet.{ATTENTION}.to_k", rank=2)
    tensors |= _today(f"text_encoder.text_model.{LAYER}.q_proj")
    metadata = _metadata(
        unet__r=4,
        unet__lora_alpha=8,
        unet__rank_pattern={"attn1.to_k": 2},
        unet__alpha_pattern={"to_k": 3},
    )
    adapter = decode(tensors, metadata)
    scales = {site.module.rpartition(".")[2]: d.scale for site, d in adapter.deltas.items()}
    assert scales == {"to_q": 2.0, "to_k": 1.5, "q_proj": 1.0}


def test_the_header_written_says_what_differs():
    deltas = {
        TO_Q: Lora(torch.ones(4, 6), torch.ones(5, 4), 8.0),
        TO_OUT: Lora(torch.ones(4, 6), torch.ones(5, 4), 8.0),
        Site("unet", "conv_in.weight"): Lora(torch.ones(2, 6, 3, 3), torch.ones(5, 2, 1, 1), 0.5),
        Q_PROJ: Lora(torch.ones(3, 6), torch.ones(5, 3), 3.0),
    }
    encoded = encode(Diffusers(), Adapter(deltas=deltas, card=Card(family="sd1")))
    assert set(encoded.tensors) >= {
        f"unet.{ATTENTION}.to_q.lora_A.weight",
        "unet.conv_in.lora_B.weight",
        f"text_encoder.text_model.{LAYER}.q_proj.lora_A.weight",
    }
    assert json.loads(encoded.metadata["lora_adapter_metadata"]) == {
        "unet.r": 4,
        "unet.lora_alpha": 8,
        "unet.rank_pattern": {"conv_in": 2},
        "unet.alpha_pattern": {"conv_in": 0.5},
        "unet.target_modules": [f"{ATTENTION}.to_q", f"{ATTENTION}.to_out.0", "conv_in"],
        # Without text_model, which the live network may lack: a pattern fits the end of a name.
        "text_encoder.r": 3,
        "text_encoder.lora_alpha": 3,
        "text_encoder.rank_pattern": {},
        "text_encoder.alpha_pattern": {},
        "text_encoder.target_modules": [f"{LAYER}.q_proj"],
    }


def test_attention_processors_can_be_written():
    deltas = {site: Lora(torch.ones(4, 6), torch.ones(5, 4), 4.0) for site in (TO_OUT, Q_PROJ)}
    encoded = encode(AttentionProcessors(), Adapter(deltas=deltas, card=Card(family="sd1")))
    assert set(encoded.tensors) == {
        f"unet.{ATTENTION}.processor.to_out_lora.down.weight",
        f"unet.{ATTENTION}.processor.to_out_lora.up.weight",
        f"text_encoder.text_model.{LAYER}.to_q_lora.down.weight",
        f"text_encoder.text_model.{LAYER}.to_q_lora.up.weight",
    }
    assert decode(encoded.tensors, encoded.metadata).deltas.keys() == deltas.keys()


@pytest.mark.parametrize(
    ("site", "alpha"),
    [(TO_Q, 2.0), (Site("unet", "mid_block.attentions.0.proj_in.weight"), 4.0)],
)
def test_what_attention_processors_cannot_say_is_refused(site, alpha):
    adapter = Adapter(
        deltas={site: Lora(torch.ones(4, 6), torch.ones(5, 4), alpha)}, card=Card(family="sd1")
    )
    with pytest.raises(ModelError) as caught:
        encode(AttentionProcessors(), adapter)
    assert caught.value.code == "format.no_way"
    assert str(site) in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ("{", "format.config"),
        ("[]", "format.config"),
        ('{"unet.r": "many"}', "format.config"),
        ('{"unet.r": 4, "unet.lora_alpha": NaN}', "format.config"),
        ('{"unet.r": 4, "unet.rank_pattern": []}', "format.config"),
        ('{"unet.r": 4, "unet.alpha_pattern": {"(": 2}}', "format.pattern"),
        ('{"unet.r": 4, "unet.alpha_pattern": {"(a+)+b": 2}}', "format.pattern"),
        ('{"unet.r": 4, "unet.alpha_pattern": {".*.*.*.*": 2}}', "format.pattern"),
        ('{"unet.r": 8}', "format.rank"),
        ('{"unet.r": 4, "unet.use_dora": true}', "format.peft_option"),
        ('{"unet.r": 4, "unet.init_lora_weights": "pissa"}', "format.changed_base"),
    ],
)
def test_a_header_that_cannot_be_trusted_is_refused(entry, code):
    with pytest.raises(ModelError) as caught:
        decode(_today(f"unet.{ATTENTION}.to_q"), {"lora_adapter_metadata": entry}, where="a file")
    assert caught.value.code == code
    assert "a file" in str(caught.value)
    assert "a file" in caught.value.message("ko")
