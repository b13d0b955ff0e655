"""Adapters of models that keep weights (in, out), as GPT-2, and of one that only has their names.

Every side is 32 where it can be, so that a square weight the wrong way round would pass unseen.
The oracle is PEFT itself on the same small model of transformers.
"""

from __future__ import annotations

import json
import warnings
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from torch import Tensor, nn

from loraloom.adapters.attachment import attach
from loraloom.formats.files import read_adapter

TOKENS = torch.arange(3, 23).view(2, 10)
_SIZES: dict[str, Any] = {
    "vocab_size": 48,
    "n_positions": 16,
    "n_embd": 32,
    "n_inner": 32,
    "n_layer": 2,
    "n_head": 4,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_ARCHITECTURES = {
    "gpt2": transformers.GPT2LMHeadModel,
    "openai-gpt": transformers.OpenAIGPTLMHeadModel,
    "gpt_bigcode": transformers.GPTBigCodeForCausalLM,
}
_SORTS = ["gpt2", "gpt_bigcode"]
"""One whose weights are (in, out), and one that has only the names: files differ in no more."""
_WAYS = [("gpt2", "native"), ("gpt2", "peft"), ("gpt_bigcode", "native")]
_LAYERS = ["c_attn", "c_proj", "c_fc"]
_TARGETS: dict[str, dict[str, Any]] = {
    "lora": {"target_modules": _LAYERS},
    "mixed": {"target_modules": [*_LAYERS, "lm_head"]},
    "dora": {"target_modules": _LAYERS, "use_dora": True},
    "pissa": {"target_modules": _LAYERS, "init_lora_weights": "pissa"},
}


@dataclass(frozen=True)
class Zoo:
    """A model, its folder, and for each of its adapters PEFT's folder and what PEFT puts out."""

    model: nn.Module
    base: Path
    turned: bool
    folders: dict[str, Path]
    outputs: dict[str, Tensor]

    def logits(self, model: nn.Module | None = None) -> Tensor:
        """Run a model, our own if none is given."""
        return (model or self.model)(TOKENS).logits.detach()

    def peft_reads(self, folder: Path) -> Tensor:
        """Return what PEFT puts out with a folder of ours, for which it has no warning."""
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`")
            # Its own doing at every layer of another class than the last.
            warnings.filterwarnings("ignore", "fan_in_fan_out is set")
            return self.logits(peft.PeftModel.from_pretrained(deepcopy(self.model), folder).eval())


@pytest.fixture(scope="module", params=_ARCHITECTURES)
def zoo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """Return a small model of each architecture with PEFT's adapters of random factors."""
    return _made(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """Return the same of one architecture, for what does not depend on it."""
    return _made("gpt2", tmp_path_factory.mktemp("one"))


def _made(name: str, folder: Path) -> Zoo:
    kind = _ARCHITECTURES[name]
    torch.manual_seed(0)
    model = kind(kind.config_class(**_SIZES)).eval().requires_grad_(False)
    for tensor in model.parameters():
        tensor.normal_(0, 0.2)
    model.save_pretrained(folder / "base")
    turned = name != "gpt_bigcode"
    folders: dict[str, Path] = {}
    outputs: dict[str, Tensor] = {}
    for seed, (case, options) in enumerate(_TARGETS.items()):
        settings = peft.LoraConfig(r=4, lora_alpha=6, fan_in_fan_out=turned, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trained = peft.get_peft_model(deepcopy(model), settings).eval()
            generator = torch.Generator().manual_seed(seed)
            for path, tensor in trained.named_parameters():
                if ".lora_" in path:
                    tensor.data += 0.1 * torch.randn(tensor.shape, generator=generator)
            outputs[case] = trained(TOKENS).logits.detach()
            folders[case] = folder / case
            trained.save_pretrained(folders[case])
    return Zoo(model, folder / "base", turned, folders, outputs)


def _near(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).norm() <= 2e-6 * expected.norm())


@pytest.mark.parametrize("case", ["lora", "mixed", "dora"])
def test_pefts_file_is_worn_as_peft_wears_it(zoo, case):
    bare = zoo.logits()
    assert not _near(zoo.outputs[case], bare)
    with attach({"model": zoo.model}, read_adapter(zoo.folders[case])):
        assert _near(zoo.logits(), zoo.outputs[case])
    assert torch.equal(zoo.logits(), bare)


@pytest.mark.parametrize("case", ["lora", "mixed", "dora"])
@pytest.mark.parametrize(("zoo", "to"), _WAYS, indirect=["zoo"])
def test_there_and_back_peft_puts_out_the_same(zoo, case, to, tmp_path, run):
    there, back = tmp_path / ("there" if to == "peft" else "there.safetensors"), tmp_path / "back"
    run("convert", zoo.folders[case], there, "--to", to, "--dtype", "fp32")
    run("convert", there, back, "--to", "peft", "--metadata", "full")
    assert run("verify", zoo.folders[case], there, "--tolerance", 0, "--base", zoo.base)["ok"]
    assert torch.equal(zoo.peft_reads(back), zoo.outputs[case])


@pytest.mark.parametrize("case", ["lora", "mixed"])
@pytest.mark.parametrize("zoo", _SORTS, indirect=True)
def test_mixed_and_resized_for_peft_it_is_the_same(zoo, case, tmp_path, run):
    source = zoo.folders[case]
    run("merge", f"{source}:0.5", f"{source}:0.5", "-o", tmp_path / "mix", "--to", "peft")
    run("resize", tmp_path / "mix", "-o", tmp_path / "small", "--rank", 4, "--to", "peft")
    for folder in (tmp_path / "mix", tmp_path / "small"):
        assert _near(zoo.peft_reads(folder), zoo.outputs[case])
    config = json.loads((tmp_path / "small" / "adapter_config.json").read_text())
    assert config.get("fan_in_fan_out", False) is (zoo.turned and case == "lora")


@pytest.mark.parametrize("case", ["lora", "dora"])
def test_fused_and_extracted_it_is_the_same(zoo, case, tmp_path, run):
    fused, out = tmp_path / "fused", tmp_path / "out"
    run("fuse", zoo.base, zoo.folders[case], "-o", fused)
    loaded = type(zoo.model).from_pretrained(fused).eval()
    assert _near(zoo.logits(loaded), zoo.outputs[case])
    run("extract", fused, zoo.base, "--rank", 32, "-o", out, "--to", "peft")
    assert _near(zoo.peft_reads(out), zoo.outputs[case])
    config = json.loads((out / "adapter_config.json").read_text())
    assert config.get("fan_in_fan_out", False) is zoo.turned


def test_a_base_that_the_initialisation_changed_is_found_again(zoo, tmp_path, run):
    """PiSSA decomposes the weight as the layer uses it, (out, in)."""
    options = ("--changed-base", "undo", "--base", zoo.base)
    run("convert", zoo.folders["pissa"], tmp_path / "out", "--to", "peft", *options)
    assert _near(zoo.peft_reads(tmp_path / "out"), zoo.outputs["pissa"])


def test_weights_without_a_config_are_not_guessed_at(gpt2, tmp_path, refused):
    base = tmp_path / "base"
    base.mkdir()
    (base / "model.safetensors").write_bytes((gpt2.base / "model.safetensors").read_bytes())
    said = refused("fuse", base, gpt2.folders["lora"], "-o", tmp_path / "fused", status=4)
    assert "config.json" in said
    assert "c_attn.weight" in said
    assert not (tmp_path / "fused").exists()
