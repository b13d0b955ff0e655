"""What a format has no field of its own for, and yet says exactly."""

from __future__ import annotations

import json

import peft
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from loraloom.adapters.site import Site
from loraloom.formats.coding import decode, encode
from loraloom.formats.conversion import convert
from loraloom.formats.files import read_adapter, write_adapter
from loraloom.formats.table import FORMATS

SCALE = 0.75


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.config = {"model_type": "custom"}
        self.first = nn.Linear(6, 8)
        self.second = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).tanh())


def _saved(folder, config):
    torch.manual_seed(3)
    base = Network()
    model = peft.get_peft_model(base, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name or "lokr_" in name:
                parameter.normal_()
    model.save_pretrained(folder)
    return model


@pytest.mark.filterwarnings("ignore:.*have invalid shape:peft.utils.warning.PeftWarning")
def test_the_bias_of_a_second_factor_is_written_as_peft_has_it(tmp_path):
    config = peft.LoraConfig(r=4, lora_alpha=3, lora_bias=True, target_modules=["first", "second"])
    model = _saved(tmp_path / "theirs", config)
    adapter = read_adapter(tmp_path / "theirs")
    assert Site("model", "first.bias") in adapter.deltas
    write_adapter(adapter, tmp_path / "native.safetensors", "native")
    convert(tmp_path / "native.safetensors", tmp_path / "ours", "peft")
    assert json.loads((tmp_path / "ours" / "adapter_config.json").read_text())["lora_bias"] is True
    torch.manual_seed(3)
    again = peft.PeftModel.from_pretrained(Network(), tmp_path / "ours")
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(again(x), model(x), rtol=1e-5, atol=1e-6)


def test_diffusers_keeps_the_bias_beside_the_factors():
    module = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0"
    tensors = {
        f"{module}.lora_A.weight": torch.randn(2, 6),
        f"{module}.lora_B.weight": torch.randn(6, 2),
        f"{module}.lora_B.bias": torch.randn(6),
    }
    read = decode(tensors, {})
    native = encode(FORMATS["native"], read)
    written = encode(FORMATS["diffusers"], decode(native.tensors, native.metadata))
    assert written.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(written.tensors[name], tensor)
    fields = json.loads(written.metadata["lora_adapter_metadata"])
    assert fields["unet.lora_bias"] is True
    assert fields["unet.target_modules"] == [module.removeprefix("unet.")]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale", [SCALE, 4.0, 1 / 3])
def test_the_scale_of_whole_factors_goes_into_the_first(dtype, scale):
    name = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    deltas = {f"{name}:w1": torch.randn(2, 2).to(dtype), f"{name}:w2": torch.randn(4, 3).to(dtype)}
    records = {name: {"kind": "lokr", "settings": {"scale": scale}}}
    read = decode(deltas, {"loraloom.deltas": json.dumps(records)})
    (delta,) = read.deltas.values()
    expected = torch.kron(deltas[f"{name}:w1"].double(), deltas[f"{name}:w2"].double()) * scale
    torch.testing.assert_close(delta.delta(None).double(), expected, rtol=1e-6, atol=1e-7)
    for format in ("kohya", "lycoris", "comfyui", "onetrainer"):
        written = encode(FORMATS[format], read)
        (again,) = decode(written.tensors, written.metadata).deltas.values()
        assert again.settings.get("scale", 1.0) == 1.0
        torch.testing.assert_close(again.delta(None).double(), expected, rtol=1e-6, atol=1e-7)


def test_a_conversion_tells_that_factors_have_changed(tmp_path):
    config = peft.LoKrConfig(r=8, alpha=6, target_modules=["to_q"], decompose_factor=2)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.config = {"model_type": "custom"}
            self.mid_block = nn.ModuleDict(
                {
                    "attentions": nn.ModuleList(
                        [
                            nn.ModuleDict(
                                {
                                    "transformer_blocks": nn.ModuleList(
                                        [
                                            nn.ModuleDict(
                                                {"attn1": nn.ModuleDict({"to_q": nn.Linear(8, 8)})}
                                            )
                                        ]
                                    )
                                }
                            )
                        ]
                    )
                }
            )

    torch.manual_seed(0)
    model = peft.get_peft_model(Block(), config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    model.save_pretrained(tmp_path / "peft")
    (told,) = [
        warned
        for warned in convert(tmp_path / "peft", tmp_path / "kohya.safetensors", "kohya")
        if warned.code == "format.scale_folded"
    ]
    assert told.details["count"] == 1
    (one,) = read_adapter(tmp_path / "peft").deltas.values()
    (other,) = read_adapter(tmp_path / "kohya.safetensors").deltas.values()
    torch.testing.assert_close(other.delta(None), one.delta(None))
    assert any("lokr_w1" in name for name in load_file(tmp_path / "kohya.safetensors"))
