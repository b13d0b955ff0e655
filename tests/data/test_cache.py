"""The latents of pictures: encoded once, in batches, and given back row by row."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from loraloom.data.cache import LatentCache
from loraloom.data.pixels import load_pixels


@pytest.fixture
def paths(tmp_path):
    """Return five pictures of different greys."""
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for i, path in enumerate(paths):
        Image.new("RGB", (8, 8), (i * 40,) * 3).save(path)
    return paths


def _encode(pixels):
    means = pixels[:, :2, ::4, ::4]
    return means, means.abs() + 1


def test_each_picture_gets_its_own_latents_back(paths):
    cache, sizes = LatentCache(), []

    def encode(pixels):
        assert not torch.is_grad_enabled()
        sizes.append(len(pixels))
        return _encode(pixels)

    filling = cache.fill(paths, width=8, height=8, encode_image=encode, batch_size=2)
    assert list(filling) == [2, 4, 5]
    assert sizes == [2, 2, 1]
    wanted = [paths[3], paths[0], paths[3]]
    means, deviations = cache.latents(wanted)
    expected = _encode(torch.stack([load_pixels(path, 8, 8) for path in wanted]))
    assert torch.equal(means, expected[0])
    assert torch.equal(deviations, expected[1])


def test_latents_are_kept_in_full_precision(paths):
    cache = LatentCache()

    def encode(pixels):
        means, deviations = _encode(pixels)
        return means.half(), deviations.half()

    list(cache.fill(paths, width=8, height=8, encode_image=encode))
    assert {rows.dtype for rows in cache.latents(paths)} == {torch.float32}


@pytest.mark.parametrize("broken", [0, 1])
def test_latents_that_are_not_finite_name_their_picture(paths, refuses, broken):
    def encode(pixels):
        latents = _encode(pixels)
        latents[broken][1] = torch.nan
        return latents

    filling = LatentCache().fill(paths, width=8, height=8, encode_image=encode)
    with refuses("dataset.latents_not_finite", "1.png", exit_code=6):
        list(filling)
