"""Sharpness: drawings of all styles are sharp, and blurred once they are blurred."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from loraloom.data.sharpness import measure
from loraloom.playground.scenes import sample_scene
from loraloom.playground.styles import STYLES, render


@pytest.fixture(scope="module")
def drawings():
    generator = np.random.default_rng(0)
    return {style: Image.fromarray(render(sample_scene(generator), style)) for style in STYLES}


@pytest.mark.parametrize("style", STYLES)
def test_a_drawing_is_sharp_until_it_is_blurred(drawings, style):
    drawing = drawings[style]
    sharp = measure(drawing.convert("L"))
    # A Gaussian of 1.2 % of the side, as an out-of-focus photograph has it.
    blurred = measure(drawing.filter(ImageFilter.GaussianBlur(128 * 0.012)).convert("L"))
    soft = measure(drawing.filter(ImageFilter.GaussianBlur(128 * 0.03)).convert("L"))
    assert sharp is not None
    assert blurred is not None
    assert soft is not None
    assert not sharp.blurred
    assert soft.blurred
    assert sharp.edges > 4 * blurred.edges > 4 * soft.edges


def test_the_measure_is_the_variance_of_the_laplacian():
    values = np.random.default_rng(3).integers(0, 256, (40, 50)).astype(np.uint8)
    v = values.astype(float)
    laplacian = v[:-2, 1:-1] + v[2:, 1:-1] + v[1:-1, :-2] + v[1:-1, 2:] - 4 * v[1:-1, 1:-1]
    found = measure(Image.fromarray(values))
    assert found is not None
    assert found.edges == pytest.approx(laplacian.var(), rel=1e-5)
    assert found.contrast == pytest.approx(v.var(), rel=1e-5)


def test_size_does_not_matter():
    # One picture at 256 and, each pixel four times, at 512: scaled down they are the same.
    values = np.random.default_rng(4).integers(0, 256, (256, 256)).astype(np.uint8)
    small = Image.fromarray(values)
    large = small.resize((512, 512), Image.Resampling.NEAREST)
    assert measure(large) == measure(small)


def test_flat_and_tiny_pictures_are_not_judged():
    flat = measure(Image.new("L", (64, 64), 128))
    assert flat is not None
    assert not flat.blurred
    assert measure(Image.new("L", (31, 400))) is None
