"""LoRA as a module around a linear layer."""

from __future__ import annotations

import copy
import math

import peft
import pytest
import torch
from torch import nn

import loraloom
from loraloom.adapters.attachment import attach
from loraloom.adapters.lora_linear import LoRALinear, apply_lora, lora_adapter, lora_layers
from loraloom.errors import UsageError


class Attention(nn.Module):
    """Two projections and a feed-forward layer, named as in a Llama."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.v_proj = nn.Linear(6, 6, bias=False), nn.Linear(6, 4)
        self.norm = nn.LayerNorm(6)
        self.mlp = nn.ModuleDict({"up_proj": nn.Linear(6, 10)})

    def forward(self, x):
        """Use every layer."""
        x = self.norm(x)
        return torch.cat([self.q_proj(x), self.v_proj(x), self.mlp["up_proj"](x)], dim=-1)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.ModuleDict({"layers": nn.ModuleList([Attention(), Attention()])})


def _run(model, x):
    return torch.stack([layer(x) for layer in model["layers"]])


def _shake(model, generator):
    for _, layer in lora_layers(model):
        layer.lora_B.data.normal_(generator=generator)


def test_at_first_nothing_changes_and_only_the_two_matrices_learn(generator):
    linear, x = nn.Linear(6, 8), torch.randn(3, 5, 6, generator=generator)
    base = linear(x)
    layer = LoRALinear(linear, r=4, alpha=8)
    assert layer.original is linear
    assert (layer.lora_A.shape, layer.lora_B.shape, layer.scale) == ((4, 6), (8, 4), 2.0)
    assert torch.equal(layer(x), base)
    assert torch.count_nonzero(layer.delta()) == 0
    layer(x).sum().backward()
    assert linear.weight.grad is None
    assert linear.bias.grad is None
    assert layer.lora_B.grad.abs().max() > 0
    assert [name for name, p in layer.named_parameters() if p.requires_grad] == [
        "lora.down",
        "lora.up",
    ]


def test_it_is_the_papers_formula(generator):
    linear, x = nn.Linear(6, 8), torch.randn(3, 5, 6, generator=generator)
    layer = LoRALinear(linear, r=4, alpha=6)
    layer.lora_B.data.normal_(generator=generator)
    expected = linear(x) + 6 / 4 * (x @ layer.lora_A.T @ layer.lora_B.T)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.delta(), 6 / 4 * layer.lora_B @ layer.lora_A)


def test_a_seed_draws_the_same_numbers():
    one, two = (
        LoRALinear(nn.Linear(6, 8), generator=torch.Generator().manual_seed(5)) for _ in range(2)
    )
    assert torch.equal(one.lora_A, two.lora_A)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_merging_leaves_nothing_beside_and_unmerging_nothing_behind(dtype, generator):
    linear = nn.Linear(6, 8).to(dtype)
    weight, kept = linear.weight, linear.weight.detach().clone()
    layer = LoRALinear(linear, r=4, alpha=8)
    layer.lora_B.data.normal_(generator=generator)
    x = torch.randn(3, 6, generator=generator).to(dtype)
    beside = layer(x)
    merged = (kept.float() + layer.delta()).to(dtype)
    for _ in range(2):
        layer.merge()
        assert layer.merged
        assert torch.equal(layer.weight, merged)
        assert torch.equal(layer(x), linear(x))
        assert layer(x).dtype == dtype
        tolerance = 8 * torch.finfo(dtype).eps * beside.abs().max()
        assert (layer(x) - beside).abs().max() <= tolerance
    for _ in range(2):
        layer.unmerge()
        assert not layer.merged
        assert linear.weight is weight
        assert torch.equal(weight, kept)
        assert torch.equal(layer(x), beside)


def test_a_rank_of_0_is_refused():
    with pytest.raises(UsageError) as caught:
        LoRALinear(nn.Linear(6, 8), r=0)
    assert caught.value.code == "lora_linear.rank"


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (["q_proj"], {"layers.0.q_proj", "layers.1.q_proj"}),
        (
            ("q_proj", "mlp.up_proj"),
            {f"layers.{n}.{e}" for n in "01" for e in ("q_proj", "mlp.up_proj")},
        ),
        (["layers.1.v_proj"], {"layers.1.v_proj"}),
        (r".*\.0\..*_proj", {"layers.0.q_proj", "layers.0.v_proj", "layers.0.mlp.up_proj"}),
        (r".*norm|.*q_proj", {"layers.0.q_proj", "layers.1.q_proj"}),
    ],
)
def test_layers_are_chosen_as_peft_chooses_them(model, targets, expected):
    if "norm" not in str(targets):  # PEFT refuses what we leave alone
        names = targets if isinstance(targets, str) else list(targets)
        config = peft.LoraConfig(target_modules=names)
        theirs = peft.inject_adapter_in_model(config, copy.deepcopy(model))
        wrapped = (peft.tuners.lora.Linear,)
        assert {n for n, m in theirs.named_modules() if isinstance(m, wrapped)} == expected
    assert apply_lora(model, targets, r=2, alpha=4) is model
    assert {name for name, _ in lora_layers(model)} == expected


def test_only_the_new_matrices_of_the_model_learn(model, generator):
    x = torch.randn(3, 6, generator=generator)
    base = _run(model, x)
    apply_lora(model, ["q_proj", "up_proj"], r=2, alpha=4, generator=generator)
    assert torch.equal(_run(model, x), base)
    learning = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert len(learning) == 2 * 2 * 2
    assert all(".lora." in name for name in learning)
    _shake(model, generator)
    assert not torch.allclose(_run(model, x), base)


@pytest.mark.parametrize(
    "targets", ["q_proj", ["k_proj"], ["q_proj", "k_proj"], ["norm"], [], ["proj"]]
)
def test_names_that_match_nothing_are_refused_with_those_there_are(model, targets):
    """A bare regular expression must match the whole name; a name of a list, an end of it."""
    before = [type(module) for module in model.modules()]
    with pytest.raises(UsageError) as caught:
        apply_lora(model, targets)
    assert caught.value.code == "lora_linear.no_match"
    assert "q_proj (2), v_proj (2), up_proj (2)" in str(caught.value)
    assert [type(module) for module in model.modules()] == before
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_pattern_that_is_none_is_refused(model):
    with pytest.raises(UsageError) as caught:
        apply_lora(model, "*q_proj")
    assert caught.value.code == "lora_linear.pattern"
    assert "*q_proj" in str(caught.value)


def test_a_quantised_weight_is_not_merged_into():
    linear = nn.Linear(2, 2, bias=False)
    linear.weight = nn.Parameter(torch.ones(2, 2, dtype=torch.uint8), requires_grad=False)
    layer = LoRALinear(linear, r=1)
    with pytest.raises(UsageError) as caught:
        layer.merge()
    assert caught.value.code == "lora_linear.quantised"
    assert not layer.merged


def test_what_is_wrapped_already_is_not_wrapped_again(model):
    apply_lora(model, ["q_proj"])
    with pytest.raises(UsageError):
        apply_lora(model, ["q_proj"])
    apply_lora(model, ["v_proj"])
    assert len(list(lora_layers(model))) == 4


def test_a_layer_that_is_never_called_is_no_target():
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(4, 2), "head": nn.Linear(4, 4)})
    with pytest.raises(UsageError) as caught:
        apply_lora(model, ["out_proj"])
    assert "head (1)" in str(caught.value)


def test_it_comes_out_as_an_adapter_that_does_the_same(model, generator):
    bare, x = copy.deepcopy(model), torch.randn(3, 6, generator=generator)
    apply_lora(model, ["q_proj", "up_proj"], r=2, alpha=3)
    _shake(model, generator)
    adapter = lora_adapter(model)
    assert {str(site) for site in adapter.deltas} == {
        f"model.layers.{n}.{layer}.weight" for n in (0, 1) for layer in ("q_proj", "mlp.up_proj")
    }
    with attach({"model": bare}, adapter):
        torch.testing.assert_close(_run(bare, x), _run(model, x))
    assert not any(
        parameter.requires_grad for d in adapter.deltas.values() for parameter in d.parameters()
    )


def test_the_package_offers_it():
    assert loraloom.LoRALinear is LoRALinear
    assert loraloom.apply_lora is apply_lora


@pytest.mark.parametrize("alpha", [math.nan, math.inf, -math.inf])
def test_an_alpha_that_is_no_number_is_refused(alpha):
    layer = nn.Linear(3, 4)
    with pytest.raises(UsageError) as caught:
        LoRALinear(layer, 2, alpha)
    assert caught.value.code == "lora_linear.alpha"
    model = nn.Sequential(layer)
    with pytest.raises(UsageError):
        apply_lora(model, ["0"], 2, alpha)
    assert model[0] is layer
    assert layer.weight.requires_grad
