"""Layers with a formula of their own wear exactly, and nothing of them is written."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers.models.normalization import RMSNorm as DiffusersRMSNorm
from torch import nn
from transformers.models.gemma3.modeling_gemma3 import (
    Gemma3RMSNorm,
    Gemma3TextScaledWordEmbedding,
)
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.attachment import attach
from loraloom.adapters.card import Card
from loraloom.adapters.full import Full
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.errors import UsageError

LAYERS = {
    "LayerNorm": (nn.LayerNorm(6), (4, 5, 6)),
    "GroupNorm": (nn.GroupNorm(2, 6), (4, 6, 3, 3)),
    "RMSNorm": (nn.RMSNorm(6), (4, 5, 6)),
    "BatchNorm2d": (nn.BatchNorm2d(6), (4, 6, 3, 3)),
    "diffusers' RMSNorm": (DiffusersRMSNorm(6, eps=1e-6), (4, 5, 6)),
    "Llama's RMSNorm": (LlamaRMSNorm(6), (4, 5, 6)),
    "Gemma's RMSNorm": (Gemma3RMSNorm(6), (4, 5, 6)),
    "T5's norm": (T5LayerNorm(6), (4, 5, 6)),
    "Gemma's embedding": (Gemma3TextScaledWordEmbedding(9, 6, 0, embed_scale=2.5), None),
    "transposed convolution": (nn.ConvTranspose2d(6, 3, 3), (4, 6, 3, 3)),
    "reflecting convolution": (nn.Conv2d(6, 3, 3, padding=1, padding_mode="reflect"), (4, 6, 3, 3)),
}
EVERY_LAYER = pytest.mark.parametrize(("layer", "shape"), LAYERS.values(), ids=LAYERS.keys())
STRENGTHS = (0.5, -1.7, torch.tensor([1.0, 0.5, 0.0, 0.5]), torch.tensor([0.0, 0.3, 0.3, 0.0]))


def _adapter(layer, generator, name="a"):
    deltas = {
        Site("model", f"layer.{path}"): Full(torch.randn(parameter.shape, generator=generator))
        for path, parameter in layer.named_parameters()
    }
    return Adapter(deltas=deltas, card=Card(family="", name=name))


def _expected(layer, x, *worn):
    """Run a copy with the changed parameters, row by row; by the definition."""
    rows = []
    for row in range(len(x)):
        changed = copy.deepcopy(layer)
        for adapter, strength in worn:
            s = strength if isinstance(strength, float) else float(strength[row])
            for site, delta in adapter.deltas.items():
                changed.get_parameter(site.path.removeprefix("layer.")).data += s * delta.diff
        rows.append(changed(x[row : row + 1]))
    return torch.cat(rows)


@EVERY_LAYER
def test_the_output_is_that_of_the_changed_parameters(layer, shape, generator):
    network = nn.ModuleDict({"layer": layer}).requires_grad_(False).eval()
    x = torch.randint(9, (4, 5)) if shape is None else torch.randn(shape, generator=generator)
    adapters = [_adapter(layer, generator, "a"), _adapter(layer, generator, "b")]
    base, before = layer(x), copy.deepcopy(layer.state_dict())
    wanted = [_expected(layer, x, (adapters[0], s), (adapters[1], -0.5)) for s in STRENGTHS]
    parameters = dict(layer.named_parameters())
    with attach({"model": network}, adapters, {}) as attachment:
        assert torch.equal(layer(x), base)
        for strength, expected in zip(STRENGTHS, wanted, strict=True):
            attachment.set_strengths({"a": strength, "b": -0.5})
            torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)
    with attach({"model": network}, adapters[0], STRENGTHS[3]):
        assert torch.equal(layer(x)[[0, 3]], base[[0, 3]])
    assert torch.equal(layer(x), base)
    assert dict(layer.named_parameters()) == parameters
    assert all(torch.equal(held, before[name]) for name, held in layer.state_dict().items())


@EVERY_LAYER
def test_attachments_of_one_layer_add_up_and_are_closed_in_any_order(layer, shape, generator):
    network = nn.ModuleDict({"layer": layer}).requires_grad_(False).eval()
    x = torch.randint(9, (4, 5)) if shape is None else torch.randn(shape, generator=generator)
    one, other = _adapter(layer, generator), _adapter(layer, generator)
    base = layer(x)
    both = _expected(layer, x, (one, 0.5), (other, 2.0))
    alone = _expected(layer, x, (other, 2.0))
    outer, inner = attach({"model": network}, one, 0.5), attach({"model": network}, other, 2.0)
    torch.testing.assert_close(layer(x), both, rtol=1e-5, atol=1e-5)
    outer.close()
    torch.testing.assert_close(layer(x), alone, rtol=1e-5, atol=1e-5)
    inner.close()
    assert torch.equal(layer(x), base)


def test_another_hooks_change_is_kept(generator):
    layer = nn.LayerNorm(6)
    network, x = nn.ModuleDict({"layer": layer}), torch.randn(4, 6, generator=generator)
    adapter = _adapter(layer, generator)
    expected = _expected(layer, x, (adapter, 1.0)) + 100
    foreign = layer.register_forward_hook(lambda layer, inputs, y: y + 100)
    with attach({"model": network}, adapter):
        torch.testing.assert_close(layer(x), expected)
    foreign.remove()


def test_training_statistics_are_counted_once(generator):
    layer = nn.BatchNorm2d(6).train()
    plain, x = copy.deepcopy(layer), torch.randn(4, 6, 3, 3, generator=generator)
    plain(x)
    with attach({"model": nn.ModuleDict({"layer": layer})}, _adapter(layer, generator)):
        layer(x)
    for name, buffer in plain.named_buffers():
        assert torch.equal(layer.get_buffer(name), buffer)


def test_gradients_reach_what_is_worn_and_what_came_before(generator):
    layer = nn.LayerNorm(6).requires_grad_(False)
    adapter = _adapter(layer, generator)
    x = torch.randn(4, 6, generator=generator, requires_grad=True)
    changed = {
        site.parameter: (layer.get_parameter(site.parameter) + delta.diff).requires_grad_(True)
        for site, delta in adapter.deltas.items()
    }
    loss = torch.func.functional_call(layer, changed, (x,)).pow(3).sum()
    expected = torch.autograd.grad(loss, [x, *changed.values()])
    with attach({"model": nn.ModuleDict({"layer": layer})}, adapter, trainable=True) as attachment:
        layer(x).pow(3).sum().backward()
        found = [x.grad, *(parameter.grad for parameter in attachment.parameters("a"))]
    for gradient, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, wanted)


def _attention(generator, **options):
    layer = nn.MultiheadAttention(6, 2, **options).eval().requires_grad_(False)
    deltas = {
        Site("model", f"layer.{path}"): Lora(
            torch.randn(2, 6, generator=generator), torch.randn(rows, 2, generator=generator), 1.0
        )
        for path, rows in (("in_proj_weight", 18), ("out_proj.weight", 6))
    }
    deltas[Site("model", "layer.in_proj_bias")] = Full(torch.randn(18, generator=generator))
    adapter = Adapter(deltas=deltas, card=Card(family="", name="a"))
    changed = copy.deepcopy(layer)
    for site, delta in deltas.items():
        path = site.path.removeprefix("layer.")
        changed.get_parameter(path).data += 0.5 * delta.delta(None)
    return layer, adapter, changed


@pytest.mark.parametrize("batch_first", [True, False])
def test_torchs_attention_wears_inside_and_at_its_end(batch_first, generator):
    layer, adapter, changed = _attention(generator, batch_first=batch_first)
    x = torch.randn(3, 5, 6, generator=generator)
    base = layer(x, x, x)[0]
    with attach({"model": nn.ModuleDict({"layer": layer})}, adapter, 0.5) as attachment:
        for keywords in ({}, {"need_weights": False}):
            found, expected = layer(x, x, value=x, **keywords), changed(x, x, value=x, **keywords)
            torch.testing.assert_close(found[0], expected[0])
        attachment.set_strengths(0.0)
        assert torch.equal(layer(x, x, x)[0], base)
        attachment.set_strengths(torch.tensor([1.0, 0.0, 0.5]))
        with pytest.raises(UsageError) as caught:
            layer(x, x, x)
        assert caught.value.code == "attach.no_batch"
        assert "model.layer." in str(caught.value)
    assert torch.equal(layer(x, x, x)[0], base)
