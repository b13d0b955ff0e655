"""PEFT's folders of layers that are not as others: read as PEFT computes them, or refused."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from peft import (
    AdaLoraConfig,
    FourierFTConfig,
    HRAConfig,
    IA3Config,
    LNTuningConfig,
    LoHaConfig,
    LoKrConfig,
    LoraConfig,
    PeftModel,
    VeraConfig,
    get_peft_model,
)
from safetensors.torch import load_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from loraloom.adapters import attach
from loraloom.adapters.adapter import Adapter
from loraloom.adapters.card import Card
from loraloom.adapters.lokr import Lokr
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.composing.merging import merge
from loraloom.errors import ModelError
from loraloom.formats.coding import decode
from loraloom.formats.files import read_adapter, write_adapter
from loraloom.formats.summary import describe

# PEFT says what it does with GPT-2's layers, with several dimensions, and with models of our own.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

LORA = {"r": 4, "lora_alpha": 6}
DORA = {**LORA, "use_dora": True, "init_lora_weights": "gaussian"}
TOKENS = torch.tensor([[1, 5, 0], [7, 7, 2]])
VECTORS = torch.linspace(-1, 1, 18).reshape(3, 6)
LINES = torch.linspace(-1, 1, 2 * 12 * 7).reshape(2, 12, 7)
PICTURES = torch.linspace(-1, 1, 2 * 8 * 25).reshape(2, 8, 5, 5)


def _saved(folder, config, x, **layers):
    """Save what PEFT makes for a row of layers, and return the row and PEFT's output."""
    torch.manual_seed(0)
    plain = nn.Sequential()
    for name, layer in layers.items():
        plain.add_module(name, layer)
    trained = get_peft_model(copy.deepcopy(plain), config).eval()
    generator = torch.Generator().manual_seed(1)
    for name, parameter in trained.named_parameters():
        if parameter.requires_grad:
            positive = any(part in name for part in ("magnitude", "ia3"))
            parameter.data = torch.randn(parameter.shape, generator=generator) / 4 + positive
    trained.save_pretrained(folder)
    with torch.no_grad():
        return plain, trained(x)


@torch.no_grad()
def _worn(plain, adapter, x):
    with attach({"model": plain}, {"cat": adapter}, {"cat": 1.0}):
        return plain(x)


def _assert_close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


TURNED = {
    "GPT-2": (lambda: {"c_fc": Conv1D(10, 6)}, {**LORA, "fan_in_fan_out": True}, VECTORS),
    "square": (lambda: {"c_proj": Conv1D(6, 6)}, {**LORA, "fan_in_fan_out": True}, VECTORS),
    "decomposed": (lambda: {"c_fc": Conv1D(10, 6)}, {**DORA, "fan_in_fan_out": True}, VECTORS),
    "bias": (
        lambda: {"c_fc": Conv1D(10, 6)},
        {**LORA, "fan_in_fan_out": True, "lora_bias": True},
        VECTORS,
    ),
    "embedding": (lambda: {"e": nn.Embedding(11, 6), "b": nn.Linear(6, 4)}, LORA, TOKENS),
    "decomposed embedding": (
        lambda: {"e": nn.Embedding(11, 6), "b": nn.Linear(6, 4)},
        DORA,
        TOKENS,
    ),
}


@pytest.mark.parametrize("name", TURNED)
def test_weights_with_rows_for_columns_are_read_so(tmp_path, name):
    make, options, x = TURNED[name]
    layers = make()
    config = LoraConfig(target_modules=list(layers), **options)
    plain, expected = _saved(tmp_path / "cat", config, x, **layers)
    adapter = read_adapter(tmp_path / "cat")
    _assert_close(_worn(plain, adapter, x), expected)
    # As it was read, it is written: PEFT reads the same.
    write_adapter(adapter, tmp_path / "again", "peft")
    again = PeftModel.from_pretrained(copy.deepcopy(plain), tmp_path / "again")
    assert torch.equal(again(x), expected)


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("options", [LORA, DORA])
def test_layers_of_both_sorts_are_read_whatever_the_file_says_of_them(tmp_path, told, options):
    """PEFT turns layers by their class and saves what it did with the last, under one name."""
    layers = {"b": nn.Linear(6, 6), "c_fc": Conv1D(6, 6), "d": nn.Linear(6, 6)}
    config = LoraConfig(target_modules=list(layers), fan_in_fan_out=True, **options)
    plain, expected = _saved(tmp_path, config, VECTORS, **layers)
    path = tmp_path / "adapter_config.json"
    saved = json.loads(path.read_text())
    assert saved["fan_in_fan_out"] is False
    path.write_text(json.dumps({**saved, "fan_in_fan_out": told}))
    _assert_close(_worn(plain, read_adapter(tmp_path), VECTORS), expected)


@pytest.mark.parametrize("feedforward", [[], ["c_fc"]])
def test_ia3_scales_the_sides_of_a_turned_layer_as_those_of_any_other(tmp_path, feedforward):
    layer = Conv1D(10, 6)
    options = {"feedforward_modules": feedforward, "fan_in_fan_out": True}
    config = IA3Config(target_modules=["c_fc"], **options)
    plain, expected = _saved(tmp_path, config, VECTORS, c_fc=layer)
    _assert_close(_worn(plain, read_adapter(tmp_path), VECTORS), expected)


@pytest.mark.parametrize("options", [LORA, DORA])
@pytest.mark.parametrize("groups", [2, 4])
def test_lora_of_a_grouped_convolution_is_refused(tmp_path, groups, options):
    """Why it is no update of the weight: tests/adapters/test_peft.py."""
    layer = nn.Conv2d(8, 16, 3, groups=groups)
    _saved(tmp_path, LoraConfig(target_modules=["a"], **options), PICTURES, a=layer)
    for read in (read_adapter, describe):
        with pytest.raises(ModelError) as caught:
            read(tmp_path)
        assert caught.value.code == "format.peft_grouped"


def test_loha_of_a_grouped_convolution_is_an_update(tmp_path):
    layer = nn.Conv2d(8, 16, 3, groups=2)
    config = LoHaConfig(target_modules=["a"], r=4, alpha=6)
    plain, expected = _saved(tmp_path, config, PICTURES, a=layer)
    _assert_close(_worn(plain, read_adapter(tmp_path), PICTURES), expected)


def test_whole_factors_of_a_line_are_refused_and_those_of_low_rank_read(tmp_path):
    """Why it is no Kronecker product: tests/adapters/test_peft.py."""
    layer = nn.Conv1d(12, 16, 3)
    options = {"target_modules": ["a"], "alpha": 6, "decompose_factor": 4}
    _saved(tmp_path / "whole", LoKrConfig(r=16, **options), LINES, a=layer)
    for read in (read_adapter, describe):
        with pytest.raises(ModelError) as caught:
            read(tmp_path / "whole")
        assert caught.value.code == "format.peft_scrambled"
    config = LoKrConfig(r=1, **options)
    plain, expected = _saved(tmp_path / "low", config, LINES, a=layer)
    _assert_close(_worn(plain, read_adapter(tmp_path / "low"), LINES), expected)


def test_whole_factors_of_a_line_are_not_written_for_peft(tmp_path):
    parts = {"w1": torch.ones(4, 4), "w2": torch.ones(4, 3, 3)}
    site = Site("model", "a.weight")
    adapter = Adapter(deltas={site: Lokr.from_parts(parts, None)}, card=Card(family=""))
    with pytest.raises(ModelError) as caught:
        write_adapter(adapter, tmp_path / "cat", "peft")
    assert caught.value.code == "format.cannot_express"
    assert caught.value.details["places"] == (site,)


@pytest.mark.parametrize("bias", [False, True])
def test_ia3_scales_biases_in_peft_and_that_is_said(tmp_path, bias):
    """Outputs are scaled after the bias is added; the file does not tell whether there is one."""
    layer = nn.Linear(6, 8, bias=bias)
    config = IA3Config(target_modules=["a"], feedforward_modules=[])
    plain, expected = _saved(tmp_path, config, VECTORS, a=layer)
    adapter = read_adapter(tmp_path)
    assert [warned.code for warned in adapter.origin.warnings] == ["format.ia3_bias"]
    found = _worn(plain, adapter, VECTORS)
    if bias:
        scale = load_file(tmp_path / "adapter_model.safetensors")["base_model.model.a.ia3_l"]
        assert not torch.allclose(found, expected, atol=1e-3)
        found = found + (scale.flatten() - 1) * layer.bias
    _assert_close(found, expected)


def test_inputs_that_ia3_scales_leave_the_bias_alone(tmp_path):
    config = IA3Config(target_modules=["a"], feedforward_modules=["a"])
    plain, expected = _saved(tmp_path, config, VECTORS, a=nn.Linear(6, 8))
    adapter = read_adapter(tmp_path)
    assert not adapter.origin.warnings
    _assert_close(_worn(plain, adapter, VECTORS), expected)


def test_an_unknown_tensor_of_glora_is_refused_by_name():
    """Some versions of LyCORIS name a bias `bm`, of which none computes anything."""
    name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    sides = {"a1": (6, 2), "a2": (2, 6), "b1": (5, 2), "b2": (2, 6)}
    tensors = {f"{name}.{part}.weight": torch.ones(shape) for part, shape in sides.items()}
    assert [delta.kind for delta in decode(tensors, {}).deltas.values()] == ["glora"]
    with pytest.raises(ModelError) as caught:
        decode({**tensors, f"{name}.bm.weight": torch.ones(5)}, {})
    assert caught.value.code == "format.nearly"
    assert f"{name}.bm.weight" in str(caught.value)


def _random(generator, *ranks_and_alphas):
    deltas = {
        Site("model", f"{number}.weight"): Lora(
            torch.randn(rank, 6, generator=generator),
            torch.randn(6, rank, generator=generator),
            alpha,
        )
        for number, (rank, alpha) in enumerate(ranks_and_alphas)
        if rank
    }
    return Adapter(deltas=deltas, card=Card(family=""))


@torch.no_grad()
def test_a_mix_of_varying_ranks_goes_through_peft(tmp_path, generator):
    """Ranks of both add up where both are, so that every layer has its own."""
    model = nn.Sequential(*(nn.Linear(6, 6) for _ in range(12)))
    cat = _random(generator, *((1 + n % 3, 1.0 + n) for n in range(12)))
    dog = _random(generator, *((2 * (n % 2), 3.0) for n in range(12)))
    mixed = merge({"cat": cat, "dog": dog}, {"cat": 0.7, "dog": -0.4}).adapter
    assert len({delta.rank for delta in mixed.deltas.values()}) > 3
    expected = _worn(model, mixed, VECTORS)
    write_adapter(mixed, tmp_path / "mix", "peft")
    loaded = PeftModel.from_pretrained(copy.deepcopy(model), tmp_path / "mix").eval()
    _assert_close(loaded(VECTORS), expected)
    # `1` is the end of `11` as well, which a pattern of PEFT's must not mistake it for.
    loaded.save_pretrained(tmp_path / "theirs")
    read = read_adapter(tmp_path / "theirs")
    for site, delta in mixed.deltas.items():
        assert read.deltas[site].rank == delta.rank
        assert read.deltas[site].scale == pytest.approx(delta.scale, rel=1e-12)
    assert torch.equal(_worn(model, read, VECTORS), expected)


@pytest.mark.parametrize(
    "config",
    [
        AdaLoraConfig(target_modules=["q"], total_step=9),
        VeraConfig(target_modules=["q"], r=2),
        HRAConfig(target_modules=["q"], r=2),
        FourierFTConfig(target_modules=["q"], n_frequency=5),
        LNTuningConfig(target_modules=["q"]),
    ],
    ids=lambda config: str(config.peft_type),
)
def test_a_type_that_is_not_read_is_named(tmp_path, config):
    _saved(tmp_path, config, VECTORS, q=nn.Linear(6, 8))
    for read in (read_adapter, describe):
        with pytest.raises(ModelError) as caught:
            read(tmp_path)
        assert caught.value.code == "format.peft_type"
        assert str(config.peft_type.value) in str(caught.value)
