"""The latents of pictures: encoded once and given back row by row."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image

from loraloom.data.augment import Augmentation, View
from loraloom.data.cache import LatentCache, Memory
from loraloom.data.pixels import load_pixels
from loraloom.data.shot import Shot


@pytest.fixture
def shots(tmp_path):
    """Return five pictures of different greys, as they are shown."""
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for i, path in enumerate(paths):
        Image.new("RGB", (8, 8), (i * 40,) * 3).save(path)
    return [Shot(path=path, size=(8, 8), target=(8, 8)) for path in paths]


def _encode(pixels):
    means = pixels[:, :2, ::4, ::4]
    return means, means.abs() + 1


def test_each_picture_gets_its_own_latents_back(shots):
    sizes = []

    def encode(pixels):
        assert not torch.is_grad_enabled()
        sizes.append(len(pixels))
        return _encode(pixels)

    cache = LatentCache(encode, Memory())
    assert list(cache.fill(shots)) == [1, 2, 3, 4, 5]
    # One by one, for an encoder rounds differently in batches of other sizes.
    assert sizes == [1] * 5
    wanted = [shots[3], shots[0], shots[3]]
    rows = cache.rows([(shot, View()) for shot in wanted])
    expected = _encode(torch.stack([load_pixels(shot.path, 8, 8) for shot in wanted]))
    assert torch.equal(rows.means, expected[0])
    assert torch.equal(rows.deviations, expected[1])
    assert rows.masks is None
    assert sizes == [1] * 5


def test_every_view_has_its_own_latents(tmp_path):
    path = tmp_path / "ramp.png"
    ramp = Image.linear_gradient("L").transpose(Image.Transpose.ROTATE_90).resize((16, 8))
    ramp.convert("RGB").save(path)
    augmentation = Augmentation(flip=True, crop=True)
    shot = Shot(path=path, size=(16, 8), target=(8, 8), augmentation=augmentation)
    encoded = []

    def encode(pixels):
        encoded.extend(pixels)
        return _encode(pixels)

    cache = LatentCache(encode, Memory())
    assert list(cache.fill([shot])) == [1]
    assert len(encoded) == 10
    views = augmentation.views()
    rows = cache.rows([(shot, view) for view in views])
    assert len(encoded) == 10
    for view, mean in zip(views, rows.means, strict=True):
        mirrored = replace(view, flip=not view.flip)
        other = rows.means[list(views).index(mirrored)]
        assert not torch.equal(mean, other)
    assert len({tuple(mean.flatten().tolist()) for mean in rows.means}) == 10


def test_where_nothing_is_cut_away_all_cuts_are_one(shots):
    counts = []

    def encode(pixels):
        counts.append(len(pixels))
        return _encode(pixels)

    shot = replace(shots[0], augmentation=Augmentation(crop=True))
    list(LatentCache(encode, Memory()).fill([shot]))
    assert counts == [1]


def test_without_a_shelf_each_use_is_encoded_anew(shots):
    counts = []

    def encode(pixels):
        counts.append(len(pixels))
        return _encode(pixels)

    cache = LatentCache(encode, None)
    assert not cache.keeps
    assert list(cache.fill(shots)) == []
    darker = View(gamma=1.05)
    shown = [(shots[2], View()), (shots[2], darker)]
    rows = cache.rows(shown)
    cache.rows(shown)
    assert counts == [2, 2]
    # 80 of 255 to the power of 1.05 is 75.5.
    assert rows.means[0, 0, 0, 0] == pytest.approx(80 / 127.5 - 1)
    assert rows.means[1, 0, 0, 0] == pytest.approx(2 * (80 / 255) ** 1.05 - 1, abs=1e-6)


def test_sizes_may_be_mixed(shots):
    mixed = [replace(shot, target=((8, 8), (8, 4))[i % 2]) for i, shot in enumerate(shots)]
    shapes = []

    def encode(pixels):
        shapes.append(tuple(pixels.shape))
        return _encode(pixels)

    cache = LatentCache(encode, Memory())
    list(cache.fill(mixed))
    assert shapes == [(1, 3, 8, 8), (1, 3, 4, 8)] * 2 + [(1, 3, 8, 8)]
    assert cache.rows([(mixed[1], View())]).means.shape == (1, 2, 1, 2)


def test_latents_are_kept_in_full_precision(shots):
    def encode(pixels):
        means, deviations = _encode(pixels)
        return means.half(), deviations.half()

    cache = LatentCache(encode, Memory())
    list(cache.fill(shots))
    rows = cache.rows([(shot, View()) for shot in shots])
    assert {rows.means.dtype, rows.deviations.dtype} == {torch.float32}


@pytest.mark.parametrize("broken", [0, 1])
def test_latents_that_are_not_finite_name_their_picture(shots, refuses, broken):
    def encode(pixels):
        latents = _encode(pixels.clone())
        latents[broken][pixels.mean(dim=(1, 2, 3)) > -0.9] = torch.nan
        return latents

    filling = LatentCache(encode, Memory()).fill(shots)
    with refuses("dataset.latents_not_finite", "1.png", exit_code=6):
        list(filling)


def test_a_picture_that_changed_its_size_is_refused(shots, refuses):
    Image.new("RGB", (4, 8)).save(shots[1].path)
    with refuses("dataset.picture_changed", "1.png"):
        list(LatentCache(_encode, Memory()).fill(shots))
