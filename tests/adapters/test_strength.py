"""From strengths to rows and scales."""

from __future__ import annotations

import pytest
import torch

from loraloom.adapters.strength import Route, route, routes


@pytest.mark.parametrize("strength", [0, 0.0, torch.zeros(3), torch.tensor(0.0)])
def test_at_0_nothing_is_worn(strength):
    assert route(strength) is None
    assert routes(strength) == {"": None}


@pytest.mark.parametrize("strength", [0.5, torch.tensor(0.5)])
def test_one_number_for_all_rows(strength):
    assert route(strength) == Route(None, 0.5, None)
    assert route(strength).uniform


def test_a_mapping_has_a_route_for_each_of_its_prefixes():
    found = routes({"unet": 0.5, "unet.up_blocks": 0, "text_encoder": 2.0})
    assert found == {
        "unet": Route(None, 0.5, None),
        "unet.up_blocks": None,
        "text_encoder": Route(None, 2.0, None),
    }
    assert routes({}) == {}


def _plain(value):
    return value.tolist() if isinstance(value, torch.Tensor) else value


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
    found = route(torch.tensor(strengths))
    assert found.batch == 3
    assert (_plain(found.rows), _plain(found.scale)) == (rows, scale)
    assert found.uniform == (rows is None and isinstance(scale, float))


@pytest.mark.parametrize(
    ("strengths", "groups"),
    [
        ([2.0, 2.0, 2.0], [(None, 2.0)]),
        ([0.0, 2.0, 2.0, 0.0], [(slice(1, 3), 2.0)]),
        ([1.0, 3.0, 1.0], [([0, 2], 1.0), ([1], 3.0)]),
        ([0.0, 3.0, -1.0, 3.0], [([2], -1.0), ([1, 3], 3.0)]),
        ([3.0, 0.0, -1.0, 3.0], [([2], -1.0), ([0, 3], 3.0)]),
    ],
)
def test_rows_of_one_strength_come_together(strengths, groups):
    found = route(torch.tensor(strengths)).by_strength()
    assert [(_plain(rows), strength) for rows, strength in found] == groups
