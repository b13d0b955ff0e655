"""Full differences, IA3 and GLoRA against their formulas."""

from __future__ import annotations

import pytest
import torch

from loraloom.adapters.full import Full, as_full
from loraloom.adapters.glora import Glora
from loraloom.adapters.ia3 import Ia3
from loraloom.adapters.kinds import KINDS
from loraloom.errors import ModelError


@pytest.mark.parametrize("shape", [(5,), (5, 7), (5, 7, 3, 2)], ids=str)
def test_a_full_difference_is_itself(shape, generator):
    diff = torch.randn(shape, generator=generator)
    delta = Full.from_parts({"diff": diff}, None)
    assert delta.fits(shape)
    assert torch.equal(delta.delta(None), diff)
    assert torch.equal(delta.delta(torch.ones(shape)), diff)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_said_as_a_full_difference(kind, generator):
    weight = torch.randn(16, 8, generator=generator)
    fresh = KINDS[kind].fresh((16, 8), 3, 1.5, generator, weight=weight)
    parts = {name: torch.randn(tensor.shape) for name, tensor in fresh.parts().items()}
    delta = KINDS[kind].from_parts(parts, 1.5).requires_grad_(True)
    full = as_full(delta, weight)
    assert torch.equal(full.delta(None), delta.delta(weight))
    assert not full.diff.requires_grad


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3, 2)], ids=str)
def test_ia3_scales_outputs_or_inputs(shape, generator):
    """LyCORIS's convention, arXiv 2205.05638: how far each factor is from 1."""
    weight = torch.randn(shape, generator=generator)
    for on_input, axis in ((False, 0), (True, 1)):
        scale = torch.randn(shape[axis], generator=generator)
        letters = "o" if axis == 0 else "i"
        expected = torch.einsum(f"oi...,{letters}->oi...", weight, scale)
        for around in ((-1,), (1, -1), (-1, 1, 1, 1)):
            delta = Ia3.from_parts({"scale": scale.view(around)}, None, {"on_input": on_input})
            torch.testing.assert_close(delta.delta(weight), expected)
            assert delta.parts()["scale"].shape == scale.view(around).shape


def test_ia3_scales_a_bias_by_its_outputs(generator):
    scale, bias = torch.randn(5, generator=generator), torch.randn(5, generator=generator)
    delta = Ia3.from_parts({"scale": scale}, None)
    assert delta.fits((5,))
    assert torch.equal(delta.delta(bias), bias * scale)
    assert not Ia3.from_parts({"scale": scale}, None, {"on_input": True}).fits((5,))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3, 2), (7, 7)], ids=str)
@pytest.mark.parametrize("deep", [False, True])
def test_glora_mixes_the_inputs_and_adds(shape, deep, generator):
    """LyCORIS: alpha / rank * (W a1 a2 + b1 b2), in both of its layouts."""
    weight = torch.randn(shape, generator=generator)
    ones = tuple(1 for _ in shape[2:]) if deep else ()
    kernel = shape[2:] if deep else ()
    columns = shape[1] if deep else weight[0].numel()
    left, right = torch.randn(7, 3, *ones), torch.randn(3, 7, *ones)
    up, down = torch.randn(5 if shape[0] == 5 else 7, 3, *ones), torch.randn(3, columns, *kernel)
    turned = torch.einsum("oi...,ir,rj->oj...", weight, left.flatten(1), right.flatten(1))
    expected = 0.7 / 3 * (turned + (up.flatten(1) @ down.flatten(1)).view(shape))
    for names in (("a1", "a2", "b1", "b2"), ("a2", "a1", "b2", "b1")):
        delta = Glora.from_parts(dict(zip(names, (left, right, up, down), strict=True)), 0.7)
        assert delta.rank == 3
        assert delta.fits(shape)
        torch.testing.assert_close(delta.delta(weight), expected, rtol=1e-4, atol=1e-4)


def test_glora_that_can_be_read_two_ways_is_refused():
    square = torch.ones(4, 4)
    with pytest.raises(ModelError, match="two ways") as caught:
        Glora.from_parts({"a1": square, "a2": square, "b1": square, "b2": square}, 1.0)
    assert caught.value.code == "adapter.glora_layout"


@pytest.mark.parametrize(
    "shapes",
    [
        {"a1": (7, 3), "a2": (3, 7), "b1": (5, 3), "b2": (2, 7)},
        {"a1": (7, 3), "a2": (3, 6), "b1": (5, 3), "b2": (3, 7)},
        {"a1": (7, 3), "a2": (3, 7), "b1": (5, 3), "b2": (3, 8)},
        {"a1": (3,), "a2": (3, 7), "b1": (5, 3), "b2": (3, 7)},
    ],
    ids=str,
)
def test_glora_tensors_that_do_not_belong_together(shapes):
    with pytest.raises(ModelError) as caught:
        Glora.from_parts({name: torch.ones(shape) for name, shape in shapes.items()}, 1.0)
    assert caught.value.code == "adapter.factors"
