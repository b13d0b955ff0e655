"""DoRA and its kin against the formula, and the norms that are found without the update."""

from __future__ import annotations

import pytest
import torch

from loraloom.adapters.channels import COLUMNS, ROWS
from loraloom.adapters.dora import Dora
from loraloom.adapters.kinds import KINDS
from loraloom.adapters.lora import Lora
from loraloom.adapters.norms import norms, updated_norms
from loraloom.adapters.operation import Operation

SHAPES = [(16, 8), (16, 8, 3, 2), (16, 8, 1, 1)]


def _norm(weight, axis):
    """The norm over all but one dimension, kept for broadcasting."""
    others = [each for each in range(weight.ndim) if each != {"output": 0, "input": 1}[axis]]
    return weight.square().sum(others, keepdim=True).sqrt()


def _random(kind, shape, axis, generator, **options):
    weight = torch.randn(shape, generator=generator, dtype=torch.float64)
    fresh = KINDS[kind].fresh(shape, 3, 1.5, generator, weight=weight, axis=axis, **options)
    parts = {
        name: torch.randn(tensor.shape, generator=generator, dtype=torch.float64) / 3
        for name, tensor in fresh.parts().items()
    }
    parts["magnitude"] = parts["magnitude"].abs() + 0.5
    return weight, KINDS[kind].from_parts(parts, 1.5, fresh.settings)


@pytest.mark.parametrize("kind", ["dora", "doha", "dokr"])
@pytest.mark.parametrize("axis", ["output", "input"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_update_and_its_laws_are_the_formulas(kind, axis, shape, generator):
    """arXiv 2402.09353, equation 5; for the laws PEFT 0.21 and LyCORIS 4.1.3."""
    weight, delta = _random(kind, shape, axis, generator)
    m = delta.magnitude.view_as(_norm(weight, axis))
    v = weight + delta.inner.delta(weight)
    torch.testing.assert_close(weight + delta.delta(weight), m * v / _norm(v, axis))
    for s in (0.0, 0.5, -1.7):
        part = weight + s * delta.inner.delta(weight)
        peft = m * part / _norm(part, axis)
        torch.testing.assert_close(weight + delta.lawful(weight, s, "peft"), peft)
        lycoris = v * (s * (m / _norm(v, axis) - 1) + 1)
        torch.testing.assert_close(weight + delta.lawful(weight, s, "lycoris"), lycoris)


@pytest.mark.parametrize("axis", ["output", "input"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_fresh_magnitude_is_the_weights_norm(axis, shape, generator):
    for dtype in (torch.float32, torch.bfloat16):
        weight = torch.randn(shape, generator=generator).to(dtype)
        delta = Dora.fresh(shape, 3, 1.0, generator, dtype, weight=weight, axis=axis)
        assert delta.magnitude.dtype == torch.float32
        expected = _norm(weight.double(), axis).flatten()
        torch.testing.assert_close(delta.magnitude.double(), expected, rtol=1e-6, atol=0.0)


def test_files_store_a_magnitude_in_many_shapes(generator):
    """LyCORIS (out, 1, 1, 1), PEFT (1, out, 1, 1), ours flat; which axis is a setting."""
    weight, delta = _random("dora", (8, 8, 3, 3), "output", generator)
    parts = delta.parts()
    for shape in ((8, 1, 1, 1), (1, 8, 1, 1)):
        parts["magnitude"] = parts["magnitude"].view(shape)
        again = Dora.from_parts(parts, 1.5, delta.settings)
        assert again.parts()["magnitude"].shape == shape
        assert torch.equal(again.delta(weight), delta.delta(weight))
    other = Dora.from_parts(parts, 1.5, {"axis": "input"})
    assert not torch.allclose(other.delta(weight), delta.delta(weight))


def test_a_row_of_zeros_stays_zero_and_learns(generator):
    weight = torch.randn(16, 8, generator=generator)
    weight[3] = 0
    delta = Dora.fresh((16, 8), 3, 1.0, generator, weight=weight).requires_grad_(True)
    x = torch.randn(4, 8, generator=generator)
    operation = Operation(kind="linear")
    change = delta.branch(x, operation.apply(x, weight), weight, operation)
    assert change is not None
    for update in (delta.delta(weight), change):
        assert not update.any()
        gradients = torch.autograd.grad(update.sum(), list(delta.parameters()))
        assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("axis", [ROWS, COLUMNS])
@pytest.mark.parametrize("shape", [(96, 80), (96, 80, 3, 3)], ids=str)
@pytest.mark.parametrize("size", [1e-4, 0.02, 1.0])
def test_norms_without_the_update_are_as_exact_as_with_it(axis, shape, size, generator):
    weight = torch.randn(shape, generator=generator) / 9
    lora = Lora.fresh(shape, 8, 8.0, generator)
    down, up = lora.down.data, torch.randn(lora.up.shape, generator=generator) * size
    product = (up.double().flatten(1) @ down.double().flatten(1)).view(shape)
    exact = norms(weight.double() + product, axis)
    dense = norms(weight + product.float(), axis).double()
    found = updated_norms(weight, down, up, axis).double()
    assert ((found - exact) / exact).abs().max() < 1e-6
    assert ((dense - exact) / exact).abs().max() < 1e-6


def test_norms_lose_as_many_digits_as_the_update_takes_away(generator):
    """|W|^2 + 2 <W, BA> + |BA|^2 with BA = -W up to a thousandth: the stated error bound."""
    up, down = torch.randn(40, 4, generator=generator), torch.randn(4, 30, generator=generator)
    weight = up @ down
    exact = norms(weight.double() - 0.999 * (up.double() @ down.double()), ROWS)
    found = updated_norms(weight, down, -0.999 * up, ROWS).double()
    whole = norms(weight.double(), ROWS)
    bound = torch.finfo(torch.float32).eps * (2 * whole).square() / exact.square()
    assert ((found - exact).abs() / exact < bound).all()


def test_training_keeps_no_matrix_as_large_as_the_weight(generator):
    weight = torch.randn(64, 48, generator=generator).bfloat16()
    down = torch.randn(2, 48, generator=generator, requires_grad=True)
    up = torch.randn(64, 2, generator=generator, requires_grad=True)
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    for axis in (ROWS, COLUMNS):
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            updated_norms(weight, down, up, axis).sum().backward()
        large = [tensor for tensor in kept if tensor.numel() >= weight.numel()]
        assert large
        assert all(tensor.data_ptr() == weight.data_ptr() for tensor in large)


@pytest.mark.parametrize("axis", ["output", "input"])
def test_a_magnitude_far_below_the_directions_norm_costs_no_precision(axis, generator):
    """A norm 1000 times the magnitude: what DoRA takes away again must not be added first."""
    weight, x = (torch.randn(shape, generator=generator) for shape in ((32, 48), (5, 48)))
    up = torch.randn(32, 2, generator=generator)
    inner = Lora(torch.randn(2, 48, generator=generator), up, 2000.0)
    magnitude = torch.rand(32 if axis == "output" else 48, generator=generator) + 5
    dora = Dora(inner, magnitude, axis, False)
    exact = Dora.from_parts(
        {name: part.double() for name, part in dora.parts().items()}, 2000.0, dora.settings
    )
    expected = torch.nn.functional.linear(x.double(), exact.delta(weight.double()))
    y = torch.nn.functional.linear(x, weight)
    found = dora.branch(x, y, weight, Operation(kind="linear"))
    assert (found - expected).norm() <= 1e-6 * expected.norm()
    assert (dora.delta(weight) - exact.delta(weight.double())).norm() <= 1e-6 * weight.norm()
