"""What other libraries mean by strength, against those libraries."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.attachment import attach, find_law
from loraloom.adapters.card import Card
from loraloom.adapters.delta import AbstractDelta
from loraloom.adapters.dora import Dora
from loraloom.adapters.kinds import KINDS
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.errors import UsageError

SITE = Site("model", "layer.weight")
STRENGTHS = (1.0, 0.5, -1.7, 0.3)
LAYERS = {
    "linear": (nn.Linear(6, 8), (4, 5, 6)),
    "convolution": (nn.Conv2d(6, 8, 3, padding=1), (4, 6, 5, 4)),
    "1x1": (nn.Conv2d(6, 8, 1, stride=2), (4, 6, 5, 4)),
    "1d": (nn.Conv1d(6, 8, 3), (4, 6, 5)),
    "embedding": (nn.Embedding(6, 8), None),
    "gpt2": (Conv1D(8, 6), (4, 5, 6)),
}
EVERY_LAYER = pytest.mark.parametrize(("layer", "shape"), LAYERS.values(), ids=LAYERS.keys())


def _theirs(layer, generator, **options):
    """Return PEFT's layer around a copy of ours, with random numbers in its adapter."""
    config = LoraConfig(
        r=3,
        lora_alpha=4.5,
        target_modules=["layer"],
        fan_in_fan_out=isinstance(layer, Conv1D),
        **options,
    )
    network = nn.ModuleDict({"layer": copy.deepcopy(layer)})
    theirs = inject_adapter_in_model(config, network).requires_grad_(False)["layer"]
    for name, parameter in theirs.named_parameters():
        if "lora_" in name:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise / 3 if "magnitude" in name else noise - parameter)
    return theirs


def _ours(theirs):
    """Return PEFT's adapter as ours: an embedding's update is the transpose."""
    turned = isinstance(theirs.get_base_layer(), nn.Embedding)
    if turned:
        up, down = theirs.lora_embedding_A["default"].T, theirs.lora_embedding_B["default"].T
    else:
        down, up = theirs.lora_A["default"].weight, theirs.lora_B["default"].weight
    lora = Lora(down.clone(), up.clone(), 4.5)
    if not theirs.lora_magnitude_vector:
        return Adapter(deltas={SITE: lora}, card=Card(family="", name="a"))
    magnitude = theirs.lora_magnitude_vector["default"].weight
    delta = Dora(lora, magnitude.clone(), axis="input" if turned else "output")
    return Adapter(deltas={SITE: delta}, card=Card(family="", name="a"))


def _input(shape, generator):
    if shape is None:
        return torch.randint(6, (4, 5), generator=generator)
    return torch.randn(shape, generator=generator)


@EVERY_LAYER
@pytest.mark.parametrize("use_dora", [False, True], ids=["lora", "dora"])
def test_pefts_scale_is_the_strength_of_its_law(layer, shape, use_dora, generator):
    layer.requires_grad_(False)
    theirs, x = _theirs(layer, generator, use_dora=use_dora), _input(shape, generator)
    adapter, network = _ours(theirs), nn.ModuleDict({"layer": layer})
    together = attach({"model": network}, adapter, torch.tensor(STRENGTHS), law="peft")
    rows = layer(x)
    together.close()
    for row, strength in enumerate(STRENGTHS):
        theirs.set_scale("default", strength)
        expected = theirs(x)
        with attach({"model": network}, adapter, strength, law="peft"):
            torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=2e-5)
        torch.testing.assert_close(rows[row], expected[row], rtol=1e-4, atol=2e-5)
        with attach({"model": network}, adapter, strength):
            same = torch.allclose(layer(x), expected, rtol=1e-4, atol=2e-5)
        assert same == (strength == 1 or not use_dora)


def test_at_strength_0_nothing_is_worn_under_any_law(generator):
    """PEFT's and LyCORIS's own DoRA is not the base at 0; an adapter that is off is, with us."""
    layer = nn.Linear(6, 8).requires_grad_(False)
    adapter, x = _ours(_theirs(layer, generator, use_dora=True)), torch.randn(4, 6)
    base = layer(x)
    for law in ("linear", "peft", "lycoris"):
        with attach({"model": nn.ModuleDict({"layer": layer})}, adapter, 0.0, law=law):
            assert torch.equal(layer(x), base)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize("law", ["peft", "lycoris"])
def test_every_kind_is_worn_by_the_law_it_tells(kind, law, generator):
    layer = nn.Linear(6, 8).requires_grad_(False)
    fresh = kind.fresh((8, 6), 2, 3.0, generator, weight=layer.weight)
    parts = {
        name: part + torch.randn(part.shape, generator=generator) / 3
        for name, part in fresh.parts().items()
    }
    delta = kind.from_parts(parts, fresh.alpha, fresh.settings)
    adapter = Adapter(deltas={SITE: delta}, card=Card(family="", name="a"))
    x, network = torch.randn(4, 6, generator=generator), nn.ModuleDict({"layer": layer})
    base, strengths = layer(x), torch.tensor([0.5, -1.7, 0.0, 0.5])
    expected = [
        base[row] + (x[row] @ delta.lawful(layer.weight, float(s), law).T if s else 0)
        for row, s in enumerate(strengths)
    ]
    with attach({"model": network}, adapter, strengths, law=law):
        torch.testing.assert_close(layer(x), torch.stack(expected), rtol=1e-4, atol=1e-5)
    own = kind.lawful is not AbstractDelta.lawful
    told = torch.allclose(
        delta.lawful(layer.weight, 0.5, law), 0.5 * delta.delta(layer.weight), atol=1e-6
    )
    assert own or told


def test_an_unknown_law_is_refused():
    assert find_law("peft") == "peft"
    with pytest.raises(UsageError) as caught:
        find_law("perft")
    assert caught.value.code == "attach.unknown_law"
    assert "lycoris" in str(caught.value)
