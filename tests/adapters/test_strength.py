"""From strengths to rows and scales."""

from __future__ import annotations

import pytest
import torch

from loraloom.adapters.strength import Route, route


@pytest.mark.parametrize("strength", [0, 0.0, torch.zeros(3), torch.tensor(0.0), {"unet": 0}, {}])
def test_at_0_nothing_is_worn(strength):
    assert route(strength, "unet") is None


@pytest.mark.parametrize("strength", [0.5, torch.tensor(0.5), {"unet": 0.5, "text_encoder": 2.0}])
def test_one_number_for_all_rows(strength):
    assert route(strength, "unet") == Route(None, 0.5, None)


def test_a_part_that_a_mapping_leaves_out_wears_nothing():
    assert route({"unet": 0.5}, "text_encoder") is None


@pytest.mark.parametrize(
    ("strengths", "rows", "scale"),
    [
        ([2.0, 2.0, 2.0], None, 2.0),
        ([0.0, 2.0, 2.0], slice(1, 3), 2.0),
        ([2.0, 0.0, 0.0], slice(0, 1), 2.0),
        ([1.0, 2.0, 3.0], None, [1.0, 2.0, 3.0]),
        ([0.0, -1.0, 3.0], slice(1, 3), [-1.0, 3.0]),
        ([2.0, 0.0, 2.0], [0, 2], 2.0),
        ([2.0, 0.0, 3.0], [0, 2], [2.0, 3.0]),
    ],
)
def test_rows_and_their_scales(strengths, rows, scale):
    found = route(torch.tensor(strengths), "unet")
    assert found.batch == 3
    for value, expected in ((found.rows, rows), (found.scale, scale)):
        assert (value.tolist() if isinstance(value, torch.Tensor) else value) == expected
