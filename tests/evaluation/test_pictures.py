"""Pictures inside a page."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loraloom.errors import LoraLoomError
from loraloom.evaluation.pictures import Embedded, embed
from loraloom.playground.scenes import sample_scene
from loraloom.playground.styles import render


def decoded(embedded: Embedded) -> Image.Image:
    data = base64.b64decode(embedded.address.partition("base64,")[2])
    return Image.open(BytesIO(data))


def test_a_small_picture_is_enlarged_and_stays_the_same_picture(tmp_path: Path) -> None:
    original = Image.fromarray(render(sample_scene(np.random.default_rng(0))))
    original.save(tmp_path / "scene.png")
    embedded = embed(tmp_path / "scene.png")
    assert (embedded.width, embedded.height) == (256, 256) == decoded(embedded).size
    shrunk = decoded(embedded).convert("RGB").resize((128, 128), Image.Resampling.BOX)
    difference = np.abs(np.asarray(shrunk, float) - np.asarray(original, float))
    assert difference.mean() < 4


def test_a_hundred_pictures_stay_well_below_six_megabytes(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    sizes: list[int] = []
    for style in ("plain", "anime", "watercolor", "cartoon", "pixel", "pencil"):
        Image.fromarray(render(sample_scene(generator), style)).save(tmp_path / "scene.png")
        sizes.append(len(embed(tmp_path / "scene.png").address))
    assert 100 * sum(sizes) / len(sizes) < 4e6


def test_a_large_picture_keeps_its_size(folder: Path) -> None:
    Image.open(folder / "noise.png").resize((300, 200)).save(folder / "large.png")
    embedded = embed(folder / "large.png")
    assert (embedded.width, embedded.height) == (300, 200) == decoded(embedded).size


def test_flat_colour_is_png_and_noise_is_jpeg(folder: Path) -> None:
    Image.new("RGB", (300, 300), (200, 30, 30)).save(folder / "flat.png")
    assert embed(folder / "flat.png").address.startswith("data:image/png;base64,")
    assert embed(folder / "noise.png").address.startswith("data:image/jpeg;base64,")


@pytest.mark.parametrize("name", ["absent.png", "text.png"])
def test_what_is_no_picture_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(LoraLoomError, match=name) as caught:
        embed(tmp_path / name)
    assert caught.value.code == "report.picture_unreadable"
