"""How uses of a picture differ: what is drawn, how often, and what it does to the pixels."""

from __future__ import annotations

import colorsys
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from loraloom.data.augment import COLOURED, CROPS, GAMMA, HUE, Augmentation, View, coloured
from loraloom.data.pixels import load_pixels, pixels
from loraloom.data.shot import Shot


def test_nothing_is_drawn_for_what_is_not_asked():
    generator = random.Random(0)
    before = generator.getstate()
    for kept in (True, False):
        assert Augmentation().draw(generator, kept=kept) == View()
    assert Augmentation(colour=True).draw(generator, kept=True) == View()
    assert generator.getstate() == before


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("flip", [False, True])
def test_uses_of_kept_latents_are_the_views_that_are_kept(flip, crop):
    augmentation = Augmentation(flip=flip, crop=crop)
    views = augmentation.views()
    assert len(views) == (1 + flip) * (len(CROPS) if crop else 1)
    generator = random.Random(0)
    assert {augmentation.draw(generator, kept=True) for _ in range(300)} == set(views)


def test_half_are_mirrored_and_a_third_coloured_within_the_scale():
    generator = random.Random(0)
    every = Augmentation(flip=True, crop=True, colour=True)
    drawn = [every.draw(generator, kept=False) for _ in range(6000)]
    # Four standard deviations of a share of 6000 draws are at most 0.026.
    assert abs(sum(view.flip for view in drawn) / 6000 - 0.5) < 0.026
    hues = [view.hue for view in drawn if view.hue]
    gammas = [view.gamma for view in drawn if view.gamma != 1]
    assert abs((len(hues) + len(gammas)) / 6000 - COLOURED) < 0.026
    assert abs(len(hues) / (len(hues) + len(gammas)) - 0.5) < 0.05
    assert max(map(abs, hues)) <= HUE
    assert max(abs(gamma - 1) for gamma in gammas) <= GAMMA
    assert pytest.approx(8) == HUE * 180  # OpenCV's steps of hue, in which kohya's trainer counts
    places = np.array([(view.across, view.down) for view in drawn])
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.06
    assert (places.min(0) < 0.01).all()
    assert (places.max(0) > 0.99).all()


def test_the_hue_turns_as_in_the_standard_library():
    values = np.random.default_rng(0).random((5, 7, 3), dtype=np.float32)
    values[0] = values[0, :, :1]  # greys have no hue to turn
    turned = coloured(values, View(hue=-0.04))

    def expected(pixel):
        hue, saturation, value = colorsys.rgb_to_hsv(*map(float, pixel))
        return colorsys.hsv_to_rgb((hue - 0.04) % 1, saturation, value)

    wanted = [[expected(pixel) for pixel in row] for row in values]
    assert np.allclose(turned, np.array(wanted), atol=1e-5)


def test_gamma_leaves_black_and_white():
    values = np.array([[[0.0, 0.5, 1.0]]], dtype=np.float32)
    assert coloured(values, View(gamma=1.05)) == pytest.approx(values**1.05)


def test_views_cut_and_mirror(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(values).save(path)
    shot = Shot(path=path, size=(12, 8), target=(8, 8), scaled=(12, 8))
    image = Image.open(path)
    exact = torch.tensor(values).permute(2, 0, 1) / 127.5 - 1
    for across, left in ((0.0, 0), (0.25, 1), (0.5, 2), (1.0, 4)):
        shown = pixels(image, shot, View(across=across))
        assert torch.allclose(shown, exact[:, :, left : left + 8], atol=1e-6)
        mirrored = pixels(image, shot, View(across=across, flip=True))
        assert torch.equal(mirrored, shown.flip(-1))
    assert torch.equal(load_pixels(path, 8, 8), pixels(image, shot, View()))


def test_a_cut_is_where_kohyas_scaling_puts_it():
    # 1000x1500 in the bucket 384x640 is scaled to 427x640, of which 43 columns are cut away.
    shot = Shot(path=Path("a.png"), size=(1000, 1500), target=(384, 640), scaled=(427, 640))
    left, top, right, bottom = shot.box(View())
    assert (left, right) == pytest.approx((21.5 * 1000 / 427, (21.5 + 384) * 1000 / 427))
    assert (top, bottom) == pytest.approx((0, 1500))
