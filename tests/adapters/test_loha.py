"""LoHa against its formula."""

from __future__ import annotations

import pytest
import torch

from loraloom.adapters.loha import Loha
from loraloom.errors import ModelError


def _random(generator, **shapes):
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def test_the_update_is_the_product_of_two_low_ranks(generator):
    parts = _random(generator, w1_a=(5, 3), w1_b=(3, 28), w2_a=(5, 3), w2_b=(3, 28))
    delta = Loha.from_parts(parts, 0.7)
    w = {name: tensor.double() for name, tensor in parts.items()}
    expected = 0.7 / 3 * (w["w1_a"] @ w["w1_b"]) * (w["w2_a"] @ w["w2_b"])
    assert delta.claimed_shape == (5, 28)
    for shape in ((5, 28), (5, 7, 4), (5, 7, 2, 2), (5, 14, 2, 1)):
        assert delta.fits(shape)
        found = delta.delta(torch.zeros(shape))
        torch.testing.assert_close(found.double(), expected.view(shape), rtol=1e-5, atol=1e-5)
    assert torch.linalg.matrix_rank(delta.delta(None)) > 3


def test_factors_with_a_kernel_are_the_flat_ones(generator):
    """OneTrainer's files have them as its convolutions store them."""
    flat = _random(generator, w1_a=(5, 3), w1_b=(3, 28), w2_a=(5, 3), w2_b=(3, 28))
    shapes = {"a": (5, 3, 1, 1), "b": (3, 7, 2, 2)}
    deep = {name: tensor.view(shapes[name[-1]]) for name, tensor in flat.items()}
    one, other = Loha.from_parts(flat, 1.0), Loha.from_parts(deep, 1.0)
    assert other.claimed_shape == (5, 7, 2, 2)
    assert torch.equal(one.delta(torch.zeros(5, 7, 2, 2)), other.delta(None))
    assert not other.fits((5, 14, 2, 1))


@pytest.mark.parametrize("kernel", [(4,), (4, 1), (2, 3)])
def test_the_tucker_form(kernel, generator):
    parts = _random(
        generator,
        w1_a=(3, 5),
        w1_b=(3, 7),
        t1=(3, 3, *kernel),
        w2_a=(3, 5),
        w2_b=(3, 7),
        t2=(3, 3, *kernel),
    )
    delta = Loha.from_parts(parts, 0.7)
    w = {name: tensor.double() for name, tensor in parts.items()}
    one, two = (
        torch.einsum("ij...,io,jp->op...", w[f"t{n}"], w[f"w{n}_a"], w[f"w{n}_b"]) for n in "12"
    )
    expected = 0.7 / 3 * one * two
    torch.testing.assert_close(delta.delta(None).double(), expected, rtol=1e-4, atol=1e-4)
    if kernel == (4, 1):  # PEFT's way to store a 1-d kernel
        assert delta.fits((5, 7, 4))
        assert torch.equal(delta.delta(torch.zeros(5, 7, 4)), delta.delta(None).view(5, 7, 4))


@pytest.mark.parametrize(
    "wrong",
    [{"w1_a": (5, 2)}, {"w2_b": (3, 8)}, {"w2_a": (6, 3)}, {"w1_b": (0, 7)}, {"w1_b": (3,)}],
    ids=str,
)
def test_factors_that_do_not_belong_together(wrong, generator):
    shapes = {"w1_a": (5, 3), "w1_b": (3, 7), "w2_a": (5, 3), "w2_b": (3, 7), **wrong}
    with pytest.raises(ModelError, match="loha") as caught:
        Loha.from_parts(_random(generator, **shapes), 1.0)
    assert caught.value.code == "adapter.factors"


def test_half_a_tucker_form_is_none(generator):
    parts = _random(generator, w1_a=(3, 5), w1_b=(3, 7), w2_a=(3, 5), w2_b=(3, 7), t1=(3, 3, 2, 2))
    with pytest.raises(ModelError) as caught:
        Loha.from_parts(parts, 1.0)
    assert caught.value.code == "adapter.parts"
