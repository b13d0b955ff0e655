"""PEFT's folders."""

from __future__ import annotations

import json

import pytest
import torch

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.errors import ModelError, OutputError
from loraloom.formats.coding import decode
from loraloom.formats.files import read_adapter, write_adapter

UNET = Site("unet", "conv_in.weight")
TEXT = Site("text_encoder", "text_model.encoder.layers.0.mlp.fc1.weight")


def _adapter(*sites, alpha=2.0):
    deltas = {site: Lora(torch.ones(4, 6), torch.ones(5, 4), alpha) for site in sites}
    return Adapter(deltas=deltas, card=Card(family="sd1", base="some base"))


def _names(folder):
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_a_folder_per_network_where_there_are_several(tmp_path):
    write_adapter(_adapter(UNET, TEXT), tmp_path, "peft")
    assert _names(tmp_path) == {
        "unet/adapter_model.safetensors",
        "unet/adapter_config.json",
        "text_encoder/adapter_model.safetensors",
        "text_encoder/adapter_config.json",
    }
    config = json.loads((tmp_path / "text_encoder/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "some base"
    assert config["target_modules"] == ["encoder.layers.0.mlp.fc1"]


def test_overwriting_leaves_nothing_of_the_old_adapter(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    write_adapter(_adapter(UNET, TEXT), tmp_path, "peft")
    with pytest.raises(OutputError) as caught:
        write_adapter(_adapter(TEXT, alpha=3.0), tmp_path, "peft")
    assert caught.value.code == "output.exists"
    write_adapter(_adapter(TEXT, alpha=3.0), tmp_path, "peft", overwrite=True)
    assert _names(tmp_path) == {"README.md", "adapter_model.safetensors", "adapter_config.json"}
    assert {s: d.alpha for s, d in read_adapter(tmp_path).deltas.items()} == {TEXT: 3.0}
    write_adapter(_adapter(UNET, TEXT, alpha=4.0), tmp_path, "peft", overwrite=True)
    assert {s: d.alpha for s, d in read_adapter(tmp_path).deltas.items()} == {UNET: 4.0, TEXT: 4.0}


def test_overwriting_half_an_adapter_leaves_nothing_of_it(tmp_path):
    """A configuration without weights, and one of a network that the new adapter does not have."""
    write_adapter(_adapter(UNET, TEXT), tmp_path, "peft")
    (tmp_path / "unet").rename(tmp_path / "text_encoder_2")
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError) as caught:
        write_adapter(_adapter(UNET, TEXT), tmp_path, "peft")
    assert caught.value.code == "output.exists"
    write_adapter(_adapter(UNET, TEXT, alpha=3.0), tmp_path, "peft", overwrite=True)
    assert _names(tmp_path) == {
        "notes.txt",
        "unet/adapter_model.safetensors",
        "unet/adapter_config.json",
        "text_encoder/adapter_model.safetensors",
        "text_encoder/adapter_config.json",
    }
    assert {s: d.alpha for s, d in read_adapter(tmp_path).deltas.items()} == {UNET: 3.0, TEXT: 3.0}


def test_subfolders_of_other_names_are_other_adapters(tmp_path):
    write_adapter(_adapter(UNET), tmp_path / "cat", "peft")
    with pytest.raises(ModelError) as caught:
        read_adapter(tmp_path)
    assert caught.value.code == "file.no_adapter"


def test_a_network_of_no_known_family_is_the_model(tmp_path):
    name = "base_model.model.trunk.limbs.0.q_proj"
    tensors = {
        f"{name}.lora_A.weight": torch.ones(4, 6),
        f"{name}.lora_B.weight": torch.ones(5, 4),
    }
    adapter = decode(tensors, {}, {"": {"r": 4, "lora_alpha": 2}})
    assert set(adapter.deltas) == {Site("model", "trunk.limbs.0.q_proj.weight")}
    assert adapter.card.family == ""
    write_adapter(adapter.with_card(name="new"), tmp_path, "peft")
    assert set(read_adapter(tmp_path).origin.shapes) == set(tensors)


def test_weights_without_their_configuration_are_not_guessed_at(tmp_path):
    write_adapter(_adapter(UNET), tmp_path, "peft")
    (tmp_path / "adapter_config.json").unlink()
    with pytest.raises(ModelError) as caught:
        read_adapter(tmp_path / "adapter_model.safetensors")
    assert caught.value.code == "format.peft_config_missing"


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000, '{"r": "x"}'])
def test_a_broken_configuration(tmp_path, text):
    write_adapter(_adapter(UNET), tmp_path, "peft")
    (tmp_path / "adapter_config.json").write_text(text)
    with pytest.raises(ModelError) as caught:
        read_adapter(tmp_path)
    assert caught.value.code == "format.config"
    assert str(tmp_path) in str(caught.value)


def test_a_configuration_without_weights(tmp_path):
    write_adapter(_adapter(UNET), tmp_path, "peft")
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError) as caught:
        read_adapter(tmp_path)
    assert caught.value.code == "file.missing"


def test_old_weights_in_a_pickle(tmp_path):
    adapter = _adapter(UNET)
    write_adapter(adapter, tmp_path, "peft")
    tensors = {
        "base_model.model.conv_in.lora_A.weight": torch.ones(4, 6),
        "base_model.model.conv_in.lora_B.weight": torch.ones(5, 4),
    }
    (tmp_path / "adapter_model.safetensors").unlink()
    torch.save(tensors, tmp_path / "adapter_model.bin")
    assert {s: d.alpha for s, d in read_adapter(tmp_path).deltas.items()} == {UNET: 2.0}


def test_a_network_that_its_names_do_not_tell_has_its_folder(tmp_path):
    """XL's second text encoder alone has the names of the first."""
    site = Site("text_encoder_2", "text_model.encoder.layers.0.mlp.fc1.weight")
    lora = Lora(torch.ones(2, 6), torch.ones(4, 2), 2.0)
    adapter = Adapter(deltas={site: lora}, card=Card(family="sdxl", name="cat"))
    write_adapter(adapter, tmp_path / "cat", "peft")
    assert (tmp_path / "cat" / "text_encoder_2" / "adapter_config.json").is_file()
    assert set(read_adapter(tmp_path / "cat").deltas) == {site}
