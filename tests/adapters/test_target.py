"""Where a site is in a live network."""

from __future__ import annotations

import pytest
import torch
from accelerate import cpu_offload
from diffusers.models.attention_processor import Attention
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.attachment import attach
from loraloom.adapters.card import Card
from loraloom.adapters.ia3 import Ia3
from loraloom.adapters.lora import Lora
from loraloom.adapters.operation import Operation
from loraloom.adapters.site import Site
from loraloom.adapters.target import find_target
from loraloom.errors import ModelError


def _find(module, path):
    return find_target({"model": nn.ModuleDict({"it": module})}, Site("model", f"it.{path}"), "a")


def _lora(site, shape=(4, 4), rank=2):
    generator = torch.Generator().manual_seed(3)
    down = torch.randn(rank, shape[1], generator=generator)
    up = torch.randn(shape[0], rank, generator=generator)
    return Adapter(deltas={site: Lora(down, up, 2.0)}, card=Card(family="", name="a"))


@pytest.mark.parametrize(
    ("module", "path", "operation", "shape"),
    [
        (nn.Linear(3, 4), "weight", Operation(kind="linear"), (4, 3)),
        (nn.Linear(3, 4), "bias", Operation(kind="linear"), (4,)),
        (Conv1D(4, 3), "weight", Operation(kind="linear"), (4, 3)),
        (Conv1D(4, 3), "bias", Operation(kind="linear"), (4,)),
        (nn.Embedding(9, 4), "weight", Operation(kind="embedding"), (9, 4)),
        (nn.LayerNorm(4), "weight", None, (4,)),
        (nn.LayerNorm(4), "bias", None, (4,)),
        (nn.MultiheadAttention(4, 2), "in_proj_weight", None, (12, 4)),
        (nn.MultiheadAttention(4, 2, kdim=3), "k_proj_weight", None, (4, 3)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_parameter_is_found_in_its_layer(module, path, operation, shape):
    found = _find(module, path)
    assert found.layer is module
    assert (found.parameter, found.operation, found.shape) == (path, operation, shape)
    kept = module.get_parameter(path)
    assert found.weight.data_ptr() == kept.data_ptr()
    turned = isinstance(module, Conv1D) and path == "weight"
    assert torch.equal(found.weight, kept.T if turned else kept)


def test_a_layer_that_is_read_and_never_called_is_found_in_its_reader():
    attention = nn.MultiheadAttention(4, 2)
    for name in ("weight", "bias"):
        found = _find(attention, f"out_proj.{name}")
        assert found.layer is attention
        assert found.parameter == f"out_proj.{name}"
        assert found.weight is attention.out_proj.get_parameter(name)
        assert found.operation is None


@pytest.mark.parametrize(
    ("module", "path"),
    [
        (nn.Linear(3, 4, bias=False), "bias"),
        (nn.Linear(3, 4), "in_features"),
        (nn.MultiheadAttention(4, 2), "q_proj_weight"),
        (nn.Sequential(nn.Linear(3, 4)), "weight"),
    ],
)
def test_what_is_no_parameter_is_not_found(module, path):
    with pytest.raises(ModelError) as caught:
        _find(module, path)
    assert caught.value.code == "attach.no_site"


def test_a_layer_that_fused_projections_bypass_is_refused():
    attention = Attention(8, heads=2, dim_head=4)
    _find(attention, "to_q.weight")
    attention.fuse_projections()
    for name in ("to_q", "to_k", "to_v"):
        with pytest.raises(ModelError) as caught:
            _find(attention, f"{name}.weight")
        assert caught.value.code == "attach.fused_away"
        assert f"model.it.{name}.weight" in str(caught.value)
    _find(attention, "to_out.0.weight")


def test_what_is_worn_inside_pefts_wrapper_adds_to_what_peft_adds(generator):
    site, x = Site("model", "head.weight"), torch.randn(3, 4, generator=generator)
    network = nn.ModuleDict({"head": nn.Linear(4, 4)})
    bare = network["head"](x)
    with attach({"model": network}, _lora(site)):
        ours = network["head"](x) - bare
    config = LoraConfig(r=2, target_modules=["head"], init_lora_weights=False)
    network = inject_adapter_in_model(config, network)
    theirs = network["head"](x) - bare
    with attach({"model": network}, _lora(site)):
        both = network["head"](x)
    torch.testing.assert_close(both, bare + ours + theirs)
    assert torch.equal(network["head"](x), bare + theirs) or torch.allclose(
        network["head"](x), bare + theirs
    )


def test_an_offloaded_layer_wears_what_does_not_read_its_weight(generator):
    site, x = Site("model", "head.weight"), torch.randn(3, 4, generator=generator)
    network = nn.ModuleDict({"head": nn.Linear(4, 4)}).requires_grad_(False)
    with attach({"model": network}, _lora(site)):
        expected = network["head"](x)
    cpu_offload(network, execution_device=torch.device("cpu"))
    assert network["head"].weight.is_meta
    with attach({"model": network}, _lora(site)) as attachment:
        torch.testing.assert_close(network["head"](x), expected)
        (delta,) = attachment.adapter("a").deltas.values()
    for name, part in _lora(site).deltas[site].parts().items():
        assert torch.equal(delta.parts()[name], part)
    scaling = Adapter(deltas={site: Ia3(torch.ones(4))}, card=Card(family="", name="b"))
    with attach({"model": network}, scaling), pytest.raises(ModelError) as caught:
        network["head"](x)
    assert caught.value.code == "attach.unreadable"
    assert "model.head.weight" in str(caught.value)


class Quantised(nn.Linear):
    """A linear layer whose weight is stored as whole numbers, packed, as 4-bit layers do."""

    def __init__(self, columns, rows):
        super().__init__(columns, rows)
        numbers = torch.arange(rows * columns, dtype=torch.uint8).view(-1, 1)
        self.weight = nn.Parameter(numbers, requires_grad=False)

    def forward(self, input):
        """Unpack and multiply."""
        weight = self.weight.view(self.out_features, self.in_features).float()
        return nn.functional.linear(input, weight, self.bias)


def test_a_quantised_layer_wears_what_does_not_read_its_weight(generator):
    layer = Quantised(4, 6)
    network = nn.ModuleDict({"head": layer}).requires_grad_(False)
    site, x = Site("model", "head.weight"), torch.randn(3, 4, generator=generator)
    base, adapter = layer(x), _lora(site, (6, 4))
    update = adapter.deltas[site].delta(None)
    with attach({"model": network}, adapter, 0.5):
        torch.testing.assert_close(layer(x), base + 0.5 * x @ update.T)
    with attach({"model": network}, adapter, 0.5) as attachment:
        assert {p.dtype for p in attachment.parameters("a")} == {torch.float32}
    scaling = Adapter(deltas={site: Ia3(torch.ones(6))}, card=Card(family="", name="b"))
    with attach({"model": network}, scaling), pytest.raises(ModelError) as caught:
        layer(x)
    assert caught.value.code == "attach.unreadable"
    assert "uint8" in str(caught.value)


def test_only_shapes_are_worn_on_the_meta_device(generator):
    with torch.device("meta"):
        network = nn.ModuleDict({"head": nn.Linear(4, 4)})
        x = torch.empty(3, 4)
    adapter = _lora(Site("model", "head.weight"))
    with attach({"model": network}, adapter) as attachment:
        assert network["head"](x).shape == (3, 4)
        assert all(not parameter.is_meta for parameter in attachment.parameters("a"))
