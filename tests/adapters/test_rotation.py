"""OFT and BOFT: rotations are rotations, and turn what and which way round the sources say."""

from __future__ import annotations

import math

import pytest
import torch
from peft.tuners.boft.layer import BOFTLayer

from loraloom.adapters.boft import Boft
from loraloom.adapters.oft import Oft
from loraloom.adapters.rotation import Rotation
from loraloom.errors import ModelError


def _blocks(generator, *shape):
    return torch.randn(shape, generator=generator, dtype=torch.float64) / 3


def _cayley(blocks, sign=1.0):
    """arXiv 2306.07280, section 3.3: (I + Q) (I - Q)^-1 by the inverse."""
    q = sign * (blocks - blocks.mT)
    identity = torch.eye(q.shape[-1], dtype=q.dtype)
    return (identity + q) @ torch.linalg.inv(identity - q)


@pytest.mark.parametrize("cayley", ["exact", "transposed"])
def test_turns_are_rotations_less_the_identity(cayley, generator):
    blocks = _blocks(generator, 3, 4, 4)
    found = Rotation(cayley=cayley).turns(blocks) + torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(found, _cayley(blocks, {"exact": 1.0}.get(cayley, -1.0)))
    torch.testing.assert_close(found @ found.mT, torch.eye(4).double().expand(3, 4, 4))
    assert (torch.linalg.det(found) > 0).all()


@pytest.mark.parametrize("terms", [1, 2, 3, 4, 5, 6, 9])
def test_the_series_comes_ever_nearer(terms, generator):
    """PEFT's with its quirk: 3 terms are 4, and its last one is halved."""
    q = 0.1 * (blocks := _blocks(generator, 3, 4, 4)) - 0.1 * blocks.mT
    found = Rotation(cayley="neumann", terms=terms, skew=0.1).turns(blocks)
    powers = [torch.linalg.matrix_power(q, n) for n in range(max(terms, 4 if terms == 3 else 0))]
    expected = sum((2 * power for power in powers[1:]), torch.zeros_like(q))
    if terms > 2:
        expected = expected - powers[-1]
    torch.testing.assert_close(found, expected)


def test_a_tiny_rotation_loses_nothing(generator):
    blocks = 1e-6 * _blocks(generator, 3, 4, 4)
    exact = Rotation().turns(blocks)
    found = Rotation().turns(blocks.float()).double()
    assert (found - exact).abs().max() < 1e-6 * exact.abs().max()


def test_the_constraint_bounds_all_blocks_together(generator):
    """LyCORIS's and kohya's: the norm of all Q at most alpha times the outputs; 0 is no turn."""
    blocks = _blocks(generator, 3, 4, 4)
    q = blocks - blocks.mT
    bound = 0.02 * 12
    expected = Rotation().turns(blocks * bound / q.norm())
    torch.testing.assert_close(Rotation(constraint=0.02).turns(blocks), expected)
    torch.testing.assert_close(Rotation(constraint=9.0).turns(blocks), Rotation().turns(blocks))
    assert not Rotation(constraint=0.0).turns(blocks).any()
    assert not Rotation(constraint=0.02).turns(torch.zeros(3, 4, 4)).any()


def test_eps_bounds_each_block(generator):
    """PEFT's COFT: the norm of each Q at most eps over the root of their number."""
    blocks = _blocks(generator, 4, 3, 3) * torch.tensor([0.01, 1, 2, 3])[:, None, None]
    q = blocks - blocks.mT
    norms = q.norm(dim=(1, 2))
    assert norms[0] < 0.25 < norms[1:].min()
    expected = Rotation().turns(blocks * (0.25 / norms).clamp(max=1)[:, None, None])
    torch.testing.assert_close(Rotation(eps=0.5).turns(blocks), expected)


@pytest.mark.parametrize("settings", [{"constraint": 0.02}, {"eps": 0.5}, {}], ids=str)
def test_the_gradient_is_finite_where_nothing_is_turned_yet(settings):
    blocks = torch.zeros(3, 4, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(Rotation(**settings).turns(blocks)[:, 0, 1].sum(), blocks)
    assert gradient.isfinite().all()
    assert gradient.any()


@pytest.mark.parametrize("kernel", [(), (3, 2)])
def test_oft_turns_the_rows_by_the_transpose(kernel, generator):
    blocks, weight = _blocks(generator, 3, 4, 4), _blocks(generator, 12, 10, *kernel)
    rescale = _blocks(generator, 12, 1, *(1 for _ in kernel)) + 1
    turned = torch.block_diag(*_cayley(blocks)).mT @ weight.flatten(1)
    delta = Oft.from_parts({"blocks": blocks}, None)
    torch.testing.assert_close(weight + delta.delta(weight), turned.view_as(weight))
    delta = Oft.from_parts({"blocks": blocks, "rescale": rescale}, None)
    torch.testing.assert_close(weight + delta.delta(weight), rescale * turned.view_as(weight))


@pytest.mark.parametrize("kernel", [(), (3, 2)])
def test_oft_turns_the_columns(kernel, generator):
    width = 10 * math.prod(kernel)
    weight = _blocks(generator, 12, 10, *kernel)
    for count, settings in ((width // 5, {}), (1, {"shared": True})):
        blocks = _blocks(generator, count, 5, 5)
        delta = Oft.from_parts({"blocks": blocks}, None, {"side": "input", **settings})
        whole = torch.block_diag(*_cayley(blocks).expand(width // 5, -1, -1))
        expected = weight.flatten(1) @ whole.mT
        torch.testing.assert_close(weight + delta.delta(weight), expected.view_as(weight))


def _lycoris_butterfly(blocks):
    """The whole matrix: channels of a segment are dealt in turn from its two halves."""
    _, count, size, _ = blocks.shape
    whole = torch.eye(count * size, dtype=blocks.dtype)
    for stage, turn in enumerate(_cayley(blocks)):
        half = 2**stage * size // 2
        dealt = torch.arange(count * size).view(-1, 2, half).transpose(1, 2).flatten()
        deal = torch.eye(count * size, dtype=blocks.dtype)[dealt]
        whole = deal.mT @ torch.block_diag(*turn) @ deal @ whole
    return whole


@pytest.mark.parametrize(("stages", "count", "size"), [(1, 3, 4), (2, 2, 6), (4, 8, 2), (3, 4, 4)])
def test_boft_is_lycoriss_butterfly_of_the_rows(stages, count, size, generator):
    blocks = _blocks(generator, stages, count, size, size)
    weight = _blocks(generator, count * size, 5, 2)
    delta = Boft.from_parts({"blocks": blocks}, None)
    expected = _lycoris_butterfly(blocks) @ weight.flatten(1)
    torch.testing.assert_close(weight + delta.delta(weight), expected.view_as(weight))


@pytest.mark.parametrize(
    ("stages", "count", "size"), [(1, 3, 5), (1, 2, 6), (2, 2, 6), (3, 4, 4), (3, 8, 2)]
)
def test_boft_is_pefts_butterfly_of_the_columns(stages, count, size, generator):
    """Its permutations are PEFT's own; without its CUDA kernel it runs one stage only."""
    blocks = _blocks(generator, stages, count, size, size)
    weight, s = _blocks(generator, 7, count * size), _blocks(generator, 7, 1) + 1
    layer = BOFTLayer.__new__(BOFTLayer)
    whole = torch.eye(count * size, dtype=torch.float64)
    for stage, turn in enumerate(_cayley(0.5 * blocks, -1.0)):
        order = layer.block_butterfly_perm(
            count * size, count // 2**stage, size // 2, n_butterfly_factor=stages - 1
        )
        p = layer.perm2mat(order).double()
        whole = p @ torch.block_diag(*turn) @ p.mT @ whole
    settings = {"side": "input", "cayley": "transposed", "skew": 0.5}
    delta = Boft.from_parts({"blocks": blocks, "rescale": s}, None, settings)
    torch.testing.assert_close(weight + delta.delta(weight), s * (weight @ whole.mT))


def test_a_strength_inside_the_stages_is_lycoriss_law_alone(generator):
    blocks, weight = _blocks(generator, 3, 4, 2, 2), _blocks(generator, 8, 5)
    delta = Boft.from_parts({"blocks": blocks}, None)
    half = delta.lawful(weight, 0.5, "lycoris")
    assert torch.equal(delta.lawful(weight, 0.5, "linear"), 0.5 * delta.delta(weight))
    assert not torch.allclose(half, 0.5 * delta.delta(weight))
    single = Oft.from_parts({"blocks": blocks[0]}, None)
    torch.testing.assert_close(
        single.lawful(weight, 0.5, "lycoris"), single.lawful(weight, 0.5, "linear")
    )


@pytest.mark.parametrize(
    ("kind", "shapes", "settings"),
    [
        (Oft, {"blocks": (3, 4, 5)}, {}),
        (Oft, {"blocks": (3, 4)}, {}),
        (Oft, {"blocks": (3, 4, 4), "rescale": (11, 1)}, {}),
        (Oft, {"blocks": (3, 4, 4)}, {"shared": True}),
        (Boft, {"blocks": (2, 3, 4, 4)}, {}),
        (Boft, {"blocks": (2, 2, 3, 3)}, {}),
        (Boft, {"blocks": (2, 2, 4, 4), "rescale": (7,)}, {}),
        (Boft, {"blocks": (2, 4, 4)}, {}),
    ],
    ids=str,
)
def test_blocks_that_do_not_belong_together(kind, shapes, settings):
    with pytest.raises(ModelError) as caught:
        kind.from_parts({k: torch.ones(shape) for k, shape in shapes.items()}, None, settings)
    assert caught.value.code == "adapter.factors"


def test_a_width_without_a_butterfly(generator):
    with pytest.raises(ModelError, match="15") as caught:
        Boft.fresh((15, 8), 4, 1.0, generator)
    assert caught.value.code == "adapter.no_butterfly"
