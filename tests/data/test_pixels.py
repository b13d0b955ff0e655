"""Pixels: their range, which part of the picture they show, and how it is scaled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from loraloom.data.pixels import load_pixels


def _save(values, path):
    Image.fromarray(np.asarray(values, dtype=np.uint8)).save(path)
    return path


def test_values_are_stretched_to_minus_one_and_one(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (6, 8, 3))
    pixels = load_pixels(_save(values, tmp_path / "a.png"), 8, 6)
    assert pixels.dtype == torch.float32
    expected = torch.tensor(values / 127.5 - 1, dtype=torch.float32).permute(2, 0, 1)
    assert torch.allclose(pixels, expected, atol=1e-6)
    white = load_pixels(_save(np.full((6, 8, 3), 255), tmp_path / "b.png"), 4, 4)
    black = load_pixels(_save(np.zeros((6, 8, 3)), tmp_path / "c.png"), 4, 4)
    assert (white.max(), white.min()) == (1, 1)
    assert (black.max(), black.min()) == (-1, -1)


@pytest.mark.parametrize("size", [(300, 100), (30, 90), (3, 1), (1, 3), (32, 96)])
def test_cutting_comes_out_as_after_scaling_the_whole(tmp_path, size):
    # Middle greys: Lanczos overshoots, and where it leaves 0 to 255 the order of passes matters.
    values = np.random.default_rng(0).integers(96, 160, (size[1], size[0], 3))
    path = _save(values, tmp_path / "a.png")
    whole = (96, 32) if size[0] > size[1] else (32, 96)
    left, top = (whole[0] - 32) // 2, (whole[1] - 32) // 2
    with Image.open(path) as image:
        scaled = image.resize(whole, Image.Resampling.LANCZOS)
    cut = np.asarray(scaled.crop((left, top, left + 32, top + 32)), dtype=np.float32)
    expected = torch.tensor(cut).permute(2, 0, 1) / 127.5 - 1
    # Each of the two passes rounds to one of 256 levels, which lie 2 / 255 apart.
    assert torch.allclose(load_pixels(path, 32, 32), expected, rtol=0, atol=4.01 / 255)


def test_the_centre_of_an_odd_shape_is_cut_out(tmp_path):
    # 70 x 50 covers a 20 x 30 target by its full height: 50 * 20 / 30 = 33.3 columns remain.
    values = np.zeros((50, 70, 3))
    values[:, 35:] = 255
    pixels = load_pixels(_save(values, tmp_path / "a.png"), 20, 30)
    assert pixels.shape == (3, 30, 20)
    assert (pixels[:, :, :8] < -0.9).all()
    assert (pixels[:, :, 12:] > 0.9).all()


def test_shrinking_averages_instead_of_skipping(tmp_path):
    # A chessboard of single pixels has no detail left at a third of its size: all of it is grey.
    board = np.indices((96, 96)).sum(0) % 2 * 255
    pixels = load_pixels(_save(np.stack([board] * 3, -1), tmp_path / "a.png"), 32, 32)
    # 127 or 128 of 255, except for ringing in the outermost pixels.
    assert pixels[:, 3:-3, 3:-3].abs().max() < 0.06
    assert abs(pixels.mean()) < 0.01


def test_a_large_picture_scaled_down_keeps_its_gradient(tmp_path):
    ramp = np.broadcast_to(np.linspace(0, 255, 1024)[None, :, None], (1024, 1024, 3))
    pixels = load_pixels(_save(np.rint(ramp), tmp_path / "a.png"), 32, 32)
    centres = torch.linspace(0, 255, 1024).reshape(32, 32).mean(1) / 127.5 - 1
    assert torch.allclose(pixels[0, 16, 1:-1], centres[1:-1], atol=1.5 / 127.5)


def test_pictures_are_turned_before_they_are_cut(tmp_path):
    values = np.zeros((30, 60, 3))
    values[:, :30] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the stored left edge is the upright picture's top
    path = tmp_path / "a.png"
    Image.fromarray(values.astype(np.uint8)).save(path, exif=exif)
    pixels = load_pixels(path, 30, 60)
    assert (pixels[:, :30] == 1).all()
    assert (pixels[:, 30:] == -1).all()


def test_a_damaged_picture_is_refused(tmp_path, refuses):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with refuses("dataset.picture_unreadable", "a.png"):
        load_pixels(tmp_path / "a.png", 8, 8)
