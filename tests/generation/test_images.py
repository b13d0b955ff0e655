"""Pixels to bytes as diffusers rounds them, and files that are never lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

from loraloom.errors import LoraLoomError, OutputError
from loraloom.generation.images import read_infotext, to_pictures, write_png


def test_rounding_is_that_of_diffusers(generator: torch.Generator) -> None:
    pixels = torch.rand(2, 3, 40, 24, generator=generator) * 3 - 1.5
    halves = (torch.arange(256) + 0.5) / 127.5 - 1
    pixels[0, 0].view(-1)[:256] = halves
    processor: Any = VaeImageProcessor()
    theirs = processor.postprocess(pixels, output_type="pil")
    for ours, other in zip(to_pictures(pixels), theirs, strict=True):
        assert ours.size == (24, 40)
        assert np.array_equal(np.asarray(ours), np.asarray(other))


def test_pixels_that_are_not_finite() -> None:
    pixels = torch.zeros(1, 3, 4, 4)
    pixels[0, 1, 2, 3] = torch.nan
    with pytest.raises(LoraLoomError, match="fp32"):
        to_pictures(pixels)


@pytest.mark.parametrize(
    ("text", "chunk"), [("a café\nSteps: 1", b"tEXtparameters"), ("빨간 집", b"iTXtparameters")]
)
def test_infotext_is_in_the_file(tmp_path: Path, text: str, chunk: bytes) -> None:
    path = tmp_path / "new" / "00000-1.png"
    write_png(Image.new("RGB", (4, 4), "red"), path, text)
    assert read_infotext(path) == text
    assert chunk in path.read_bytes()
    with Image.open(path) as picture:
        assert picture.getpixel((0, 0)) == (255, 0, 0)


def test_a_picture_without_infotext(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "plain.png")
    assert read_infotext(tmp_path / "plain.png") is None


def test_files_are_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    picture = Image.new("RGB", (4, 4))
    write_png(picture, path, "first")
    with pytest.raises(OutputError):
        write_png(picture, path, "second")
    assert read_infotext(path) == "first"
    write_png(picture, path, "second", overwrite=True)
    assert read_infotext(path) == "second"
    assert [each.name for each in tmp_path.iterdir()] == ["a.png"]
