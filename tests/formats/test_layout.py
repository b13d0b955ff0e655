"""Layouts describe exactly the kinds there are."""

from __future__ import annotations

import pytest
import torch

from loraloom.adapters.kinds import KINDS
from loraloom.formats.layout import LAYOUT_OF, LAYOUTS, layout_of
from tests.formats.examples import EXAMPLES, deltas


def test_every_kind_has_its_layout():
    assert {layout.kind for layout in LAYOUTS} == set(KINDS) == set(EXAMPLES)
    assert all(EXAMPLES.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_layout_tells_what_the_delta_tells(kind):
    for delta in deltas(kind):
        shapes = {name: tuple(part.shape) for name, part in delta.parts().items()}
        layout = LAYOUT_OF[kind]
        assert {layout_of(stem, shapes) for stem in layout.stems} == {layout}
        assert layout.rank(shapes) == delta.rank
        assert layout.weight(shapes, delta.settings) == delta.claimed_shape
        assert layout.has_scale == (delta.alpha is not None)


@pytest.mark.parametrize("kind", KINDS)
def test_the_rows_of_a_layout_are_those_of_the_update(kind):
    """Cutting the parts it names into rows cuts the update into rows."""
    weight = torch.linspace(-1, 1, 4 * 6 * 9).reshape(4, 6, 3, 3)
    for delta in deltas(kind):
        parts = delta.parts()
        shapes = {name: tuple(part.shape) for name, part in parts.items()}
        axes = LAYOUT_OF[kind].rows(shapes, delta.settings)
        if axes is None:
            continue
        own = next(
            w for w in (weight, weight[:, :, 0, 0], weight[:, 0, 0, 0]) if delta.fits(w.shape)
        )
        whole = delta.delta(own)
        for start, end in ((0, 1), (1, 4)):
            cut = {
                name: part.narrow(axes[name], start, end - start) if name in axes else part
                for name, part in parts.items()
            }
            piece = type(delta).from_parts(cut, delta.alpha, delta.settings)
            torch.testing.assert_close(piece.delta(own[start:end]), whole[start:end])


def test_parts_too_many_or_too_few_fit_nothing():
    for layout in LAYOUTS:
        for form in layout.forms:
            shapes = {part: (2, 2, 2) for part in form}
            stem = layout.stems[0]
            assert layout_of(stem, {**shapes, "unheard_of": (2, 2)}) is None
            assert layout_of("unheard of", shapes) is None
            for part in form:
                rest = {name: shape for name, shape in shapes.items() if name != part}
                found = layout_of(stem, rest)
                assert found is None or frozenset(rest) in found.forms
