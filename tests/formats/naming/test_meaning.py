"""How a stacked weight is shared out, and when its halves are swapped."""

from __future__ import annotations

import pytest

from loraloom.adapters.site import Site
from loraloom.formats.naming.meaning import Halves, Meaning, Rows


# FLUX.1: width 3072, of which a single block's first layer makes q, k, v and 4 x 3072 besides.
@pytest.mark.parametrize(
    ("rows", "pieces", "total", "columns", "counts"),
    [
        (Rows.EQUALLY, 3, 9216, 3072, (3072, 3072, 3072)),
        (Rows.EQUALLY, 3, 9217, 3072, None),
        (Rows.EQUALLY, 1, 7, 3, (7,)),
        (Rows.EQUALLY, 3, 0, 3072, None),
        (Rows.SQUARES_FIRST, 4, 21504, 3072, (3072, 3072, 3072, 12288)),
        (Rows.SQUARES_FIRST, 4, 9216, 3072, None),
        (Rows.SQUARES_FIRST, 4, 9217, 3072, (3072, 3072, 3072, 1)),
    ],
)
def test_rows_are_shared_out_or_not_at_all(rows, pieces, total, columns, counts):
    assert rows.counts(pieces, total, columns) == counts


@pytest.mark.parametrize(
    ("halves", "rows", "swaps"),
    [
        (Halves.KEPT, 6144, False),
        (Halves.SWAPPED, 6144, True),
        (Halves.SWAPPED, 18432, True),
        (Halves.SWAPPED_IF_TWO, 6144, True),
        (Halves.SWAPPED_IF_TWO, 18432, False),
    ],
)
def test_a_scale_and_a_shift_change_places(halves, rows, swaps):
    assert halves.swaps(rows, 3072) is swaps


def test_a_meaning_is_of_one_weight_or_several_and_of_any_parameter():
    q, k = (Site("unet", f"attn.{name}.weight") for name in "qk")
    assert Meaning(sites=(q,)).site == q
    assert Meaning(sites=(q,)).is_plain
    assert not Meaning(sites=(q,), halves=Halves.SWAPPED).is_plain
    assert not Meaning(sites=(q,), transposed=True).is_plain
    stacked = Meaning(sites=(q, k), rows=Rows.SQUARES_FIRST)
    assert stacked.site is None
    assert not stacked.is_plain
    biases = (Site("unet", "attn.q.bias"), Site("unet", "attn.k.bias"))
    assert stacked.of("bias") == Meaning(sites=biases, rows=Rows.SQUARES_FIRST)
