"""`loraloom lora convert --changed-base`: PiSSA and OLoRA of PEFT, on the base as it was."""

import copy
import json
import warnings

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from loraloom.adapters.attachment import attach
from loraloom.formats.files import read_adapter


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.ModuleDict({"first": nn.Linear(24, 32), "second": nn.Linear(32, 16)})


@pytest.mark.parametrize("way", ["pissa", "olora"])
def test_it_does_on_the_untouched_base_what_peft_does_on_the_changed_one(
    net, way, tmp_path, run, refused
):
    x = torch.randn(5, 24)
    (tmp_path / "base").mkdir()
    save_file(net.state_dict(), tmp_path / "base" / "model.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import peft

        class Net(nn.Sequential):
            def forward(self, x):
                return self.second(torch.tanh(self.first(x)))

        model = Net()
        for name, layer in net.items():
            model.add_module(name, copy.deepcopy(layer))
        config = peft.LoraConfig(
            r=4, lora_alpha=6, target_modules=["first", "second"], init_lora_weights=way
        )
        trained = peft.get_peft_model(model, config)
        for name, tensor in trained.named_parameters():
            if "lora_" in name:
                tensor.data += 0.1 * torch.randn(tensor.shape)
        expected = trained(x).detach()
        trained.save_pretrained(tmp_path / "peft")
    said = refused("convert", tmp_path / "peft", tmp_path / "a", "--to", "peft", status=4)
    assert "format.changed_base" in said
    undo = ("convert", tmp_path / "peft", tmp_path / "plain", "--to", "peft", "--changed-base")
    assert "lora.undo_needs_base" in refused(*undo, "undo", status=2)
    run(*undo, "undo", "--base", tmp_path / "base")
    written = json.loads((tmp_path / "plain" / "adapter_config.json").read_text())
    assert written.get("init_lora_weights") != way
    plain = read_adapter(tmp_path / "plain")
    assert {delta.rank for delta in plain.deltas.values()} == {8}
    with attach({"model": net}, plain):
        found = net["second"](torch.tanh(net["first"](x)))
    assert (found - expected).norm() <= 1e-6 * expected.norm()
    kept = run("convert", tmp_path / "peft", tmp_path / "kept", "--to", "peft", undo[-1], "keep")
    assert [each["code"] for each in kept["warnings"]] == ["format.on_changed_base"]


@pytest.mark.parametrize("way", ["loftq", "pissa_niter_16"])
def test_what_depends_on_more_than_the_weight_cannot_be_undone(net, way, files, tmp_path, refused):
    from loraloom.formats.files import write_adapter

    (tmp_path / "base").mkdir()
    save_file(net.state_dict(), tmp_path / "base" / "model.safetensors")
    write_adapter(read_adapter(files["one"]), tmp_path / "peft", "peft")
    for config in tmp_path.glob("peft/**/adapter_config.json"):
        told = json.loads(config.read_text()) | {"init_lora_weights": way}
        config.write_text(json.dumps(told))
    words = ("--to", "peft", "--changed-base", "undo", "--base", tmp_path / "base")
    said = refused("convert", tmp_path / "peft", tmp_path / "plain", *words, status=4)
    assert "lora.cannot_undo" in said
