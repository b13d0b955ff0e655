"""LoRA against its formula."""

from __future__ import annotations

import math

import pytest
import torch

from loraloom.adapters.lora import Lora
from loraloom.errors import ModelError


def _formula(down, up, alpha, mid=None):
    """arXiv 2106.09685, equation 3, entry by entry of the kernel, in float64."""
    down, up = down.double(), up.double()
    scale = alpha / down.shape[0]
    if mid is None:
        return scale * torch.einsum("or,ri...->oi...", up.flatten(1), down)
    return scale * torch.einsum("ab...,oa,bi->oi...", mid.double(), up.flatten(1), down.flatten(1))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1, 1), (5, 7, 3), (5, 7, 3, 2), (5, 7, 2, 3, 2)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_the_update_is_the_formula(shape, dtype, generator):
    down = torch.randn(3, *shape[1:], generator=generator).to(dtype)
    up = torch.randn(shape[0], 3, *(1 for _ in shape[2:]), generator=generator).to(dtype)
    delta = Lora(down, up, 0.7)
    found = delta.delta(torch.zeros(shape))
    assert found.shape == shape
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(found.double(), _formula(down, up, 0.7), rtol=1e-5, atol=1e-6)
    assert delta.claimed_shape == shape
    assert (delta.rank, delta.alpha, delta.scale) == (3, 0.7, 0.7 / 3)


@pytest.mark.parametrize("kernel", [(3,), (3, 2), (1, 2, 3)])
def test_the_update_with_a_middle_factor_is_the_formula(kernel, generator):
    ones = tuple(1 for _ in kernel)
    down = torch.randn(3, 7, *ones, generator=generator)
    up, mid = torch.randn(5, 3, *ones), torch.randn(3, 3, *kernel, generator=generator)
    delta = Lora(down, up, 0.7, mid)
    assert delta.claimed_shape == (5, 7, *kernel)
    found = delta.delta(torch.zeros(5, 7, *kernel))
    torch.testing.assert_close(found.double(), _formula(down, up, 0.7, mid), rtol=1e-5, atol=1e-5)
    again = Lora.from_parts({"down": down.flatten(1), "up": up.flatten(1), "mid": mid}, 0.7)
    assert torch.equal(again.delta(None), found)


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1, 1), (5, 7, 3, 2)])
def test_a_fresh_adapter_changes_nothing_and_can_learn(shape, generator):
    delta = Lora.fresh(shape, 4, 2.0, generator)
    assert torch.count_nonzero(delta.delta(torch.zeros(shape))) == 0
    assert delta.claimed_shape == shape
    assert torch.count_nonzero(delta.down) == delta.down.numel()


def test_fresh_factors_are_uniform_within_the_bound(generator):
    down = Lora.fresh((8, 50, 3, 3), 200, 1.0, generator).down
    bound = 1 / math.sqrt(50 * 9)
    assert down.abs().max() <= bound
    assert down.abs().max() > 0.999 * bound
    # A uniform distribution's standard deviation, of 90,000 draws.
    assert float(down.std()) == pytest.approx(bound / math.sqrt(3), rel=0.01)


def test_fresh_factors_may_be_normal(generator):
    down = Lora.fresh((8, 500), 40, 1.0, generator, initialisation="gaussian").down
    # 20,000 draws with PEFT's deviation of 1 / rank.
    assert float(down.std()) == pytest.approx(1 / 40, rel=0.02)
    assert down.abs().max() > 3 / 40


def test_a_seed_means_the_same_numbers_in_every_type():
    exact, half = (
        Lora.fresh((4, 6), 2, 1.0, torch.Generator().manual_seed(5), dtype).down
        for dtype in (torch.float32, torch.float16)
    )
    assert torch.equal(exact.half(), half)


def test_without_alpha_the_scale_is_1():
    parts = {"down": torch.ones(3, 4), "up": torch.ones(5, 3)}
    assert Lora.from_parts(parts, None).scale == 1
    assert Lora.from_parts(parts, 0.0).scale == 0


def test_a_pixel_is_a_linear_layer_and_the_other_way_round(generator):
    """Files of both sorts exist for both sorts of layer."""
    flat = Lora(torch.randn(3, 7), torch.randn(5, 3), 0.7)
    for shape in ((5, 7, 1, 1), (5, 7, 1)):
        assert flat.fits(shape)
        pixel = flat.fitted(shape)
        assert pixel.claimed_shape == shape == tuple(pixel.delta(None).shape)
        assert torch.equal(pixel.delta(None).view(5, 7), flat.delta(None))
        assert torch.equal(flat.delta(torch.zeros(shape)), pixel.delta(None))
        assert pixel.fitted((5, 7)).parts()["up"].shape == (5, 3)
        assert pixel.fitted(shape) is pixel
    for shape in ((5, 7, 3), (7, 5), (5, 7, 1, 2), (5,)):
        assert not flat.fits(shape)
        with pytest.raises(ModelError, match="lora"):
            flat.fitted(shape)


def test_files_keep_their_own_shapes_and_types():
    parts = {"down": torch.ones(3, 7, 1, 1).bfloat16(), "up": torch.ones(5, 3, 1, 1).half()}
    delta = Lora.from_parts(parts, 1.0)
    assert all(
        delta.parts()[name].data_ptr() == tensor.data_ptr() for name, tensor in parts.items()
    )
    assert delta.delta(None).dtype == torch.float32


@pytest.mark.parametrize(
    ("down", "up", "mid"),
    [
        ((3, 4), (5, 2), None),
        ((3, 4), (5, 3, 1, 1), None),
        ((3, 4, 3, 3), (5, 3, 3, 3), None),
        ((3, 4, 3), (5, 3, 1, 1), None),
        ((0, 4), (5, 0), None),
        ((3,), (5,), None),
        ((3, 4, 3, 3), (5, 3, 1, 1), (3, 3, 3, 3)),
        ((3, 4, 1, 1), (5, 3, 1, 1), (3, 2, 3, 3)),
        ((3, 4), (5, 3), (3, 3)),
    ],
)
def test_factors_that_do_not_belong_together(down, up, mid):
    shapes = {"down": down, "up": up, **({"mid": mid} if mid else {})}
    with pytest.raises(ModelError) as caught:
        Lora.from_parts({name: torch.ones(shape) for name, shape in shapes.items()}, 1.0)
    assert caught.value.code == "adapter.factors"
    assert str(down) in str(caught.value)
