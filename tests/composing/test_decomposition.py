"""Nearest low-rank updates against torch's singular values."""

from __future__ import annotations

import pytest
import torch

from loraloom.composing.change import Dense, Product, inner, total
from loraloom.composing.decomposition import nearest
from loraloom.composing.draws import stream
from loraloom.composing.truncation import Truncation


def _random(rows, columns, rank, noise, seed=0):
    generator = torch.Generator().manual_seed(seed)
    left = torch.randn(rows, rank, generator=generator, dtype=torch.float64)
    right = torch.randn(rank, columns, generator=generator, dtype=torch.float64)
    rest = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    return left @ right + noise * rest


@pytest.mark.parametrize("sides", [(40, 25), (25, 40), (30, 30)])
@pytest.mark.parametrize("truncation", [Truncation.to(4), Truncation(rule="energy", number=0.8)])
def test_a_matrix_is_decomposed_as_by_svd(sides, truncation):
    matrix = _random(*sides, rank=6, noise=0.5)
    low = nearest(Dense(matrix.float(), sides), truncation, stream(0, "x"))
    values = torch.linalg.svdvals(matrix)
    rank = truncation.rank(values)
    kept = float(values[:rank].square().sum() / values.square().sum())
    assert low.delta.rank == rank
    assert low.energy == pytest.approx(kept, rel=1e-6)
    found = low.delta.delta(None).double()
    assert float((found - matrix).norm() / matrix.norm()) == pytest.approx(low.error, rel=1e-5)
    assert low.error == pytest.approx((1 - kept) ** 0.5, rel=1e-5)


def test_large_matrices_are_sketched_nearly_as_well():
    """400 x 300 with singular values that fall off as a fine-tune's do; rank 8 of them."""
    generator = torch.Generator().manual_seed(0)
    u = torch.linalg.qr(torch.randn(400, 300, generator=generator, dtype=torch.float64)).Q
    v = torch.linalg.qr(torch.randn(300, 300, generator=generator, dtype=torch.float64)).Q
    values = 1 / torch.arange(1, 301, dtype=torch.float64)
    matrix = (u * values) @ v.mT
    truncation = Truncation.to(8)
    low = nearest(Dense(matrix.float(), (400, 300)), truncation, stream(0, "x"))
    optimal = float(values[8:].norm() / values.norm())
    found = low.delta.delta(None).double()
    assert float((found - matrix).norm() / matrix.norm()) == pytest.approx(low.error, rel=1e-5)
    assert optimal <= low.error * (1 + 1e-6)
    assert low.error <= optimal * 1.001
    again = nearest(Dense(matrix.float(), (400, 300)), truncation, stream(0, "x"))
    assert torch.equal(again.delta.up, low.delta.up)


def test_what_a_sketch_leaves_out_is_measured_down_to_rounding():
    matrix = _random(400, 300, rank=5, noise=0)
    low = nearest(Dense(matrix, (400, 300)), Truncation.to(5), stream(0, "x"))
    assert low.error < 1e-7


def test_both_factors_share_the_singular_values():
    low = nearest(Dense(_random(30, 20, 3, 0), (30, 20)), Truncation.to(3), stream(0, "x"))
    assert low.delta.scale == 1
    ups, downs = low.delta.up.norm(dim=0), low.delta.down.norm(dim=1)
    torch.testing.assert_close(ups, downs)


def test_a_zero_change_has_no_error():
    for change in (
        Dense(torch.zeros(6, 5), (6, 5)),
        Product(torch.zeros(6, 2).double(), torch.ones(2, 5).double(), (6, 5)),
    ):
        low = nearest(change, Truncation(rule="energy", number=0.9), stream(0, "x"))
        assert (low.delta.rank, low.energy, low.error) == (1, 1.0, 0.0)
        assert torch.count_nonzero(low.delta.delta(None)) == 0


def test_arithmetic_of_changes():
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(7, 3, generator=generator), torch.randn(3, 5, generator=generator)
    product = Product(left.double(), right.double(), (7, 5))
    matrix = torch.randn(7, 5, generator=generator)
    dense = Dense(matrix, (7, 5))
    expected = left.double() @ right.double()
    assert product.norm() == pytest.approx(float(expected.norm()), rel=1e-14)
    for one, first in ((product, expected), (dense, matrix.double())):
        for other, second in ((product, expected), (dense, matrix.double())):
            assert inner(one, other) == pytest.approx(float((first * second).sum()), rel=1e-6)
            whole = total([one, other.times(-2.0)]).matrix(torch.float64)
            torch.testing.assert_close(whole, first - 2 * second, rtol=1e-5, atol=1e-5)
    assert isinstance(total([product, product]), Product)
    u, values, vh = product.svd()
    torch.testing.assert_close(values, torch.linalg.svdvals(expected)[:3])
    torch.testing.assert_close((u * values) @ vh, expected)
    part = product.part(slice(2, 4))
    torch.testing.assert_close(part.matrix(torch.float64), expected[2:4])
    assert part.shape == (2, 5)


def test_the_difference_of_two_nearly_equal_products_is_right():
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(50, 4, generator=generator, dtype=torch.float64)
    right = torch.randn(4, 40, generator=generator, dtype=torch.float64)
    step = torch.randn(4, 40, generator=generator, dtype=torch.float64)
    one = Product(left, right, (50, 40))
    other = Product(left, right + 1e-12 * step, (50, 40))
    between = total([one, other.times(-1)]).norm()
    assert between == pytest.approx(1e-12 * float((left @ step).norm()), rel=1e-2)
