"""Adapters of causal language models: PEFT's files worn, mixed, converted, fused and extracted.

The oracle is PEFT itself on the same small model of transformers.
"""

from __future__ import annotations

import warnings
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from loraloom.adapters.attachment import attach
from loraloom.formats.files import read_adapter

_SIZES = {
    "vocab_size": 48,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_TARGETS = {
    "attention": {"target_modules": ["q_proj", "v_proj", "qkv_proj"]},
    "everything": {"target_modules": "all-linear", "use_rslora": True},
    "dora": {"target_modules": ["o_proj", "down_proj"], "use_dora": True},
}
_LINEAR = ("attention", "everything")
TOKENS = torch.arange(3, 23).view(2, 10)


@dataclass
class Zoo:
    """A model, its folder, and for each of its adapters PEFT's folder and what PEFT puts out."""

    model: nn.Module
    base: Path
    folders: dict[str, Path] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    peft: Any = None

    def logits(self, model: nn.Module | None = None) -> Tensor:
        """Run a model, our own if none is given."""
        return (model or self.model)(TOKENS).logits.detach()


@pytest.fixture(scope="module", params=["Llama", "Qwen2", "Mistral", "Gemma2", "Phi3"])
def zoo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """Return a small model of each architecture with PEFT's adapters of random factors."""
    return _made(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """Return the same of one architecture, for what does not depend on it."""
    return _made("Llama", tmp_path_factory.mktemp("one"))


def _made(architecture: str, folder: Path) -> Zoo:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import peft
        import transformers

        config = getattr(transformers, f"{architecture}Config")(**_SIZES)
        torch.manual_seed(0)
        model = getattr(transformers, f"{architecture}ForCausalLM")(config).eval()
        model.requires_grad_(False)
        made = Zoo(model=model, base=folder / "base")
        model.save_pretrained(made.base)
        for seed, (name, options) in enumerate(_TARGETS.items()):
            settings = peft.LoraConfig(r=4, lora_alpha=6, task_type="CAUSAL_LM", **options)
            if made.peft is None:
                made.peft = peft.get_peft_model(deepcopy(model), settings, name).eval()
            else:
                made.peft.add_adapter(name, settings)
            generator = torch.Generator().manual_seed(seed)
            for path, tensor in made.peft.named_parameters():
                if f".{name}." in path and ".lora_" in path:
                    tensor.data += 0.05 * torch.randn(tensor.shape, generator=generator)
            made.peft.set_adapter(name)
            made.outputs[name] = made.logits(made.peft)
            made.peft.save_pretrained(folder, selected_adapters=[name])
            made.folders[name] = folder / name
    return made


def near(found: Tensor, expected: Tensor) -> bool:
    """Whether outputs are the same but for float32's rounding."""
    return bool((found - expected).norm() <= 1e-6 * expected.norm())


def loaded(zoo: Zoo, folder: Path) -> nn.Module:
    """Return the model that transformers makes of a folder."""
    return type(zoo.model).from_pretrained(folder).eval()


@pytest.mark.parametrize("name", _TARGETS)
def test_pefts_file_is_worn_as_peft_wears_it(zoo, name):
    adapter = read_adapter(zoo.folders[name])
    bare = zoo.logits()
    assert adapter.card.family == "llama"
    assert not near(zoo.outputs[name], bare)
    with attach({"model": zoo.model}, adapter):
        assert near(zoo.logits(), zoo.outputs[name])
    assert torch.equal(zoo.logits(), bare)


def test_adapters_are_switched_and_mixed_on_one_model(zoo):
    adapters = {name: read_adapter(zoo.folders[name]) for name in _TARGETS}
    bare = zoo.logits()
    with attach({"model": zoo.model}, adapters, 0.0) as worn:
        assert torch.equal(zoo.logits(), bare)
        for name in (*_TARGETS, "attention"):
            worn.set_strengths({name: 1.0})
            assert near(zoo.logits(), zoo.outputs[name])
        strengths = dict(zip(_LINEAR, (0.7, -1.3), strict=True))
        worn.set_strengths(strengths)
        assert near(zoo.logits(), _pefts_mix(zoo, strengths))
    assert torch.equal(zoo.logits(), bare)


def _pefts_mix(zoo: Zoo, strengths: dict[str, float]) -> Tensor:
    zoo.peft.base_model.set_adapter(list(strengths))
    layers = [layer for layer in zoo.peft.modules() if hasattr(layer, "set_scale")]
    for name, strength in strengths.items():
        for layer in layers:
            layer.set_scale(name, strength)
    mixed = zoo.logits(zoo.peft)
    for name in strengths:
        for layer in layers:
            layer.set_scale(name, 1.0)
    return mixed


def test_each_sequence_of_a_batch_has_its_own_mix(zoo):
    adapters = {name: read_adapter(zoo.folders[name]) for name in _LINEAR}
    rows = {"attention": torch.tensor([1.0, 0.0]), "everything": torch.tensor([0.0, 1.0])}
    with attach({"model": zoo.model}, adapters, rows):
        found = zoo.logits()
    for row, name in enumerate(_LINEAR):
        assert near(found[row], zoo.outputs[name][row])


@pytest.mark.parametrize("name", _TARGETS)
@pytest.mark.parametrize("to", ["native", "lycoris", "peft"])
def test_formats_there_and_back_keep_every_bit(llama, name, to, tmp_path, run):
    there, back = tmp_path / ("there" if to == "peft" else "there.safetensors"), tmp_path / "back"
    run("convert", llama.folders[name], there, "--to", to)
    assert run("verify", llama.folders[name], there, "--tolerance", 0, "--base", llama.base)["ok"]
    run("convert", there, back, "--to", "peft")
    import peft

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        worn = peft.PeftModel.from_pretrained(deepcopy(llama.model), back).eval()
    assert torch.equal(llama.logits(worn), llama.outputs[name])


def test_a_format_without_names_for_language_models_is_told_with_those_that_have(
    llama, tmp_path, refused
):
    words = ("convert", llama.folders["attention"], tmp_path / "out.safetensors")
    said = refused(*words, "--to", "diffusers", "--lossy", "svd:4", status=4)
    assert "format.no_way" in said
    assert "kohya, lycoris, peft, native" in said


def test_live_merged_and_fused_are_one(zoo, tmp_path, run):
    """The networks run in float64: their own rounding in float32 is as large as the bound."""
    weights = dict(zip(_TARGETS, (0.7, -1.3, 0.5), strict=True))
    words = [f"{zoo.folders[name]}:{weight}" for name, weight in weights.items()]
    merged, fused = tmp_path / "merged.safetensors", tmp_path / "fused"
    run("merge", *words, "-o", merged, "--to", "lycoris", "--base", zoo.base)
    before = {path: path.read_bytes() for path in zoo.base.rglob("*")}
    run("fuse", zoo.base, *words, "-o", fused)
    assert {path: path.read_bytes() for path in zoo.base.rglob("*")} == before
    adapters = {name: read_adapter(zoo.folders[name]) for name in _TARGETS}
    model = deepcopy(zoo.model).double()
    with attach({"model": model}, adapters, weights):
        live = zoo.logits(model)
    assert not near(live, zoo.logits(model))
    with attach({"model": model}, read_adapter(merged)):
        assert near(zoo.logits(model), live)
    assert near(zoo.logits(loaded(zoo, fused).double()), live)


def test_what_was_fused_into_shards_is_extracted_for_peft(llama, tmp_path, run):
    base, fused, out = (tmp_path / name for name in ("base", "fused", "out"))
    llama.model.save_pretrained(base, max_shard_size="30KB")
    assert len(list(base.glob("*.safetensors"))) > 2
    run("fuse", base, llama.folders["everything"], "-o", fused)
    assert near(llama.logits(loaded(llama, fused)), llama.outputs["everything"])
    run("extract", fused, base, "--rank", 4, "-o", out, "--to", "peft")
    found = run("verify", llama.folders["everything"], out, "--tolerance", 1e-5)
    assert found["ok"], found["largest"]
    with attach({"model": llama.model}, read_adapter(out)):
        assert near(llama.logits(), llama.outputs["everything"])
