"""Updates of stacked weights: cutting and putting together are exact and undo each other."""

from __future__ import annotations

import pytest
import torch

from loraloom.adapters.full import Full
from loraloom.adapters.kinds import KINDS
from loraloom.adapters.loha import Loha
from loraloom.adapters.lora import Lora
from loraloom.adapters.rows import fuse_rows, split_rows
from loraloom.errors import ModelError

from .variants import LAYERS, VARIANTS

COUNTS = (4, 2, 10)
STACKED = {
    "lora plain",
    "lora tucker",
    "loha plain",
    "loha tucker",
    "full plain",
    "dora plain",
    "dora tucker",
    "dora detached",
    "doha plain",
    "ia3 plain",
    "ia3 input",
    "oft input",
    "oft transposed",
    "oft neumann",
    "oft eps",
    "oft shared",
    "boft input",
    "glora plain",
    "glora swapped",
}


def test_which_kinds_treat_every_row_by_itself(generator):
    found = set()
    for variant in VARIANTS:
        for layer in variant.layers((LAYERS[0], LAYERS[4])):
            weight = layer.weight(generator)
            delta = variant.random(layer, generator, weight)
            pieces = split_rows(delta, COUNTS)
            if pieces is None:
                assert fuse_rows([delta, delta]) is None
                continue
            found.add(f"{delta.kind} {variant.name}")
            whole = delta.delta(weight).split(COUNTS)
            for piece, rows, expected in zip(pieces, weight.split(COUNTS), whole, strict=True):
                assert piece.fits(tuple(rows.shape))
                torch.testing.assert_close(piece.delta(rows), expected, rtol=1e-5, atol=1e-6)
            again = fuse_rows(pieces)
            assert again is not None
            assert dict(again.settings) == dict(delta.settings)
            assert (again.alpha, again.parts().keys()) == (delta.alpha, delta.parts().keys())
            for name, tensor in delta.parts().items():
                assert torch.equal(again.parts()[name], tensor)
    assert found == STACKED


def test_what_is_shared_is_not_copied(generator):
    delta = Lora.fresh((16, 8), 3, 1.0, generator)
    pieces = split_rows(delta, COUNTS)
    assert pieces is not None
    assert all(piece.parts()["down"].data_ptr() == delta.down.data_ptr() for piece in pieces)


def _pieces(kind, alphas, generator, shape=(8,), **options):
    """Return updates of weights of 4, 2 and 10 rows that share nothing."""
    pieces, weights = [], []
    for rows, rank, alpha in zip(COUNTS, (2, 1, 3), alphas, strict=True):
        weight = torch.randn(rows, *shape, generator=generator, dtype=torch.float64)
        fresh = KINDS[kind].fresh(
            (rows, *shape), rank, alpha, generator, torch.float64, weight=weight, **options
        )
        parts = {
            name: torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            for name, tensor in fresh.parts().items()
        }
        pieces.append(KINDS[kind].from_parts(parts, alpha, fresh.settings))
        weights.append(weight)
    return pieces, weights


@pytest.mark.parametrize(
    ("kind", "shape", "options"),
    [
        ("lora", (8,), {}),
        ("lora", (8, 3, 2), {}),
        ("lora", (8, 3, 2), {"tucker": True}),
        ("loha", (8,), {}),
        ("loha", (8, 3, 2), {"tucker": True}),
        ("dora", (8,), {}),
        ("doha", (8, 3, 2), {}),
    ],
    ids=str,
)
@pytest.mark.parametrize("alphas", [(1.0, 0.5, 1.5), (0.7, 1.0, -2.0), (0.0, 3.0, 1.0)], ids=str)
def test_factors_that_share_nothing_lie_side_by_side(kind, shape, options, alphas, generator):
    pieces, weights = _pieces(kind, alphas, generator, shape, **options)
    whole = fuse_rows(pieces)
    assert whole is not None
    assert whole.rank == 6
    expected = torch.cat([p.delta(w) for p, w in zip(pieces, weights, strict=True)])
    torch.testing.assert_close(whole.delta(torch.cat(weights)), expected)


def test_equal_scales_leave_every_number_as_it_is(generator):
    pieces, _ = _pieces("lora", (1.0, 0.5, 1.5), generator)  # alpha / rank is 1 / 2 for each
    whole = fuse_rows(pieces)
    assert isinstance(whole, Lora)
    assert whole.scale == 0.5
    assert torch.equal(whole.down, torch.cat([piece.parts()["down"] for piece in pieces]))
    assert torch.equal(whole.up, torch.block_diag(*[piece.parts()["up"] for piece in pieces]))


def test_the_ratio_of_scales_is_rounded_in_float32_not_in_half_precision(generator):
    alphas = (1.0, 0.7, 1.0)
    pieces = [Lora(torch.randn(2, 6).half(), torch.randn(4, 2).half(), a) for a in alphas]
    whole = fuse_rows(pieces)
    assert isinstance(whole, Lora)
    assert whole.up.dtype == torch.float32
    expected = torch.cat([piece.delta(None) for piece in pieces])
    torch.testing.assert_close(whole.delta(None), expected, rtol=1e-6, atol=1e-6)


def test_what_cannot_be_one_update(generator):
    lora = Lora.fresh((4, 6), 2, 1.0, generator)
    full = Full(torch.ones(4, 6))
    wide, other = Lora.fresh((4, 7), 2, 1.0, generator), Full(torch.ones(4, 7))
    tucker = Lora.fresh((4, 6, 3, 3), 2, 1.0, generator, tucker=True)
    plain = Lora.fresh((4, 6, 3, 3), 2, 1.0, generator)
    assert fuse_rows([lora, full]) is None
    assert fuse_rows([lora, wide]) is None
    assert fuse_rows([full, other]) is None
    assert fuse_rows([tucker, plain]) is None
    loha = Loha.fresh((4, 6), 2, 1.0, generator)
    assert fuse_rows([loha, lora]) is None


def test_rows_that_are_not_there(generator):
    with pytest.raises(ModelError, match="16 rows") as caught:
        split_rows(Lora.fresh((16, 8), 2, 1.0, generator), (4, 4))
    assert caught.value.code == "adapter.rows"


def test_rows_may_change_places(generator):
    """FLUX's last modulation has shift and scale the other way round in diffusers."""
    delta = Lora(torch.randn(2, 6), torch.randn(8, 2), 1.0)
    shift, scale = split_rows(delta, (3, 5)) or ()
    swapped = fuse_rows([scale, shift])
    assert isinstance(swapped, Lora)
    assert swapped.rank == 2
    assert torch.equal(
        swapped.delta(None), torch.cat([delta.delta(None)[3:], delta.delta(None)[:3]])
    )
