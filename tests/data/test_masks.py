"""Masks: which file belongs to which picture, and how much each cell counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from loraloom.data.augment import Augmentation, View
from loraloom.data.cache import LatentCache, Memory
from loraloom.data.mask_files import find_masks
from loraloom.data.masks import load_mask
from loraloom.data.shot import Shot


@pytest.fixture
def shot(tmp_path):
    """Return a picture whose mask is white in its left half and grey in one pixel more."""
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    mask = np.zeros((16, 16, 3), np.uint8)
    mask[:, :8, 0] = 255
    mask[0, 8, 0] = 51
    mask[:, :, 1] = 255  # only red counts
    (tmp_path / "masks").mkdir()
    Image.fromarray(mask).save(tmp_path / "masks" / "a.webp", lossless=True)
    found = find_masks([tmp_path / "a.png"], tmp_path / "masks")
    path = tmp_path / "a.png"
    return Shot(path=path, size=(16, 16), target=(16, 16), mask=found[path])


def test_a_cell_counts_by_the_mean_of_its_pixels(shot):
    expected = torch.zeros(1, 4, 4)
    expected[:, :, :2] = 1
    # One pixel of a fifth among the sixteen of a cell, rounded to one of 255 levels.
    expected[0, 0, 2] = 0.2 / 16
    assert torch.allclose(load_mask(shot, View(), 4, 4), expected, atol=0.5 / 255)
    mirrored = load_mask(shot, View(flip=True), 4, 4)
    assert torch.allclose(mirrored, expected.flip(-1), atol=0.5 / 255)


def test_a_cut_takes_its_part_of_the_mask(shot):
    cut = replace(shot, target=(8, 16), augmentation=Augmentation(crop=True))
    assert load_mask(cut, View(across=0.0), 2, 4).min() == 1
    assert load_mask(cut, View(across=1.0), 2, 4).max() < 0.02


def test_transparency_is_a_mask(tmp_path):
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 8, 4))
    image.save(tmp_path / "a.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png")
    shots = [
        Shot(path=tmp_path / f"{name}.png", size=(8, 8), target=(8, 8), mask="alpha")
        for name in "ab"
    ]
    assert load_mask(shots[0], View(), 2, 2)[0].tolist() == [[0, 0], [1, 1]]
    assert load_mask(shots[1], View(), 2, 2).min() == 1


def test_a_batch_has_white_masks_for_pictures_without(shot):
    cache = LatentCache(lambda pixels: (pixels[:, :, ::4, ::4],) * 2, Memory())
    bare = replace(shot, mask=None)
    masks = cache.rows([(bare, View()), (shot, View())]).masks
    assert masks is not None
    assert masks.shape == (2, 1, 4, 4)
    assert masks[0].min() == 1
    assert masks[1].min() == 0


def test_what_is_wrong_with_masks_is_told(shot, tmp_path, refuses):
    folder = tmp_path / "masks"
    with refuses("dataset.mask_missing", "b.png"):
        find_masks([shot.path, tmp_path / "b.png"], folder)
    with refuses("dataset.masks_unreadable", "nowhere"):
        find_masks([shot.path], tmp_path / "nowhere")
    Image.new("L", (16, 16)).save(folder / "a.png")
    with refuses("dataset.mask_twice", "a.webp"):
        find_masks([shot.path], folder)
    with refuses("dataset.mask_empty", "a.png"):
        load_mask(replace(shot, mask=folder / "a.png"), View(), 4, 4)
    Image.new("L", (8, 16), 255).save(folder / "a.png")
    with refuses("dataset.mask_size", "8x16", "16x16"):
        load_mask(replace(shot, mask=folder / "a.png"), View(), 4, 4)
