"""Layouts describe exactly the kinds there are."""

from __future__ import annotations

import torch

from loraloom.adapters.kinds import KINDS
from loraloom.formats.layout import LAYOUTS, layout_of

# One delta of each kind, for a linear layer and a convolution.
SHAPES = {
    "lora": [
        {"down": (3, 6), "up": (5, 3)},
        {"down": (3, 6, 3, 3), "up": (5, 3, 1, 1)},
    ],
}


def test_every_kind_has_its_layouts():
    assert LAYOUTS
    assert {layout.kind for layout in LAYOUTS} == set(KINDS) == set(SHAPES)


def test_a_layout_tells_what_the_delta_tells():
    for kind, examples in SHAPES.items():
        for shapes in examples:
            delta = KINDS[kind].from_parts({n: torch.ones(s) for n, s in shapes.items()}, 2.0)
            layout = layout_of(shapes)
            assert layout.kind == kind
            assert layout.rank(shapes) == delta.rank
            assert layout.weight(shapes) == delta.claimed_shape


def test_parts_too_many_or_too_few_fit_nothing():
    for layout in LAYOUTS:
        assert layout_of(layout.parts) is layout
        assert layout_of(layout.parts | {"unheard_of"}) is None
        for part in layout.parts:
            assert layout_of(layout.parts - {part}) is not layout
