"""Every way of rearranging a tensor, with its inverse."""

from __future__ import annotations

import pytest
import torch

from loraloom.formats.rearrangement import REARRANGEMENTS

# Shapes in files that each way is for.
SHAPES = {
    "as it is": [(2, 3), (4,), (2, 3, 3, 3)],
    "magnitude": [(5, 1), (1, 5), (5, 1, 1, 1), (1, 5, 1, 1), (5,), (1, 1)],
    "magnitude of the outputs": [(5,), (1, 5, 1, 1), (1,)],
    "magnitude of the inputs": [(5,), (1,)],
    "transposed": [(3, 5)],
    "triangle": [(1, 1), (2, 3), (4, 6), (3, 28)],
    "offset": [(5,), (1, 5), (5, 1), (1, 5, 1, 1)],
    "row": [(5,)],
}
WRONG = {
    "magnitude": [(2, 5)],
    "magnitude of the outputs": [(5, 5)],
    "magnitude of the inputs": [(5, 5)],
    "transposed": [(5,), (1, 2, 3)],
    "triangle": [(5,), (2, 4), (2, 5), (1, 2, 3)],
    "offset": [(2, 5)],
    "row": [(1, 5)],
}
CASES = [(name, shape) for name, shapes in SHAPES.items() for shape in shapes]


def test_each_is_tested():
    assert set(SHAPES) == set(REARRANGEMENTS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("name", "shape"), CASES)
def test_what_goes_in_comes_out(name, shape, dtype):
    way = REARRANGEMENTS[name]
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    part = way.read(tensor)
    assert tuple(part.shape) == way.shape(shape)
    again = way.write(part, shape)
    assert (again.shape, again.dtype) == (tensor.shape, tensor.dtype)
    if way.is_exact:
        assert torch.equal(again, tensor)
    else:
        torch.testing.assert_close(again, tensor, rtol=0, atol=2 * torch.finfo(dtype).eps)


@pytest.mark.parametrize(("name", "shape"), [(n, s) for n, ss in WRONG.items() for s in ss])
def test_a_shape_that_cannot_be_right_is_refused(name, shape):
    assert REARRANGEMENTS[name].shape(shape) is None


def test_a_triangle_is_the_upper_half_row_by_row():
    """PEFT's order: torch.triu_indices."""
    packed = torch.arange(1.0, 7.0).reshape(1, 6)
    (block,) = REARRANGEMENTS["triangle"].read(packed)
    rows, columns = torch.triu_indices(4, 4, 1)
    assert torch.equal(block[rows, columns], packed[0])
    assert torch.equal(block, block.triu(1))


def test_of_any_block_the_skew_part_is_packed():
    way = REARRANGEMENTS["triangle"]
    block = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    again = way.read(way.write(block, (2, 3)))
    torch.testing.assert_close(again - again.mT, block - block.mT)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((5, 1), "output"), ((1, 5), "input"), ((5, 1, 1, 1), "output"), ((1, 5, 1, 1), "input")],
)
def test_the_axis_of_a_magnitude_is_told_by_its_shape(shape, axis):
    assert REARRANGEMENTS["magnitude"].settings(shape) == {"axis": axis}
    assert REARRANGEMENTS["magnitude of the outputs"].settings(shape) == {"axis": "output"}
