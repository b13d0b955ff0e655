"""Pictures: every kind of damage is found, and every kind of pixel comes out as RGB."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from loraloom.data.picture import inspect, upright_rgb

_FORMATS = [
    ("jpg", {}),
    ("jpg", {"progressive": True}),
    ("png", {}),
    ("webp", {}),
    ("bmp", {}),
    ("gif", {}),
    ("tif", {}),
    ("tif", {"compression": "tiff_lzw"}),
]


def _noise(width=40, height=24):
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize(("ending", "options"), _FORMATS)
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.99])
def test_a_picture_cut_short_is_refused(tmp_path, refuses, ending, options, kept):
    path = tmp_path / f"cut.{ending}"
    _noise().save(path, **options)
    assert (inspect(path).width, inspect(path).height) == (40, 24)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with refuses("dataset.picture_unreadable", f"cut.{ending}"):
        inspect(path)


def test_a_picture_that_is_not_there_is_refused(tmp_path, refuses):
    with refuses("dataset.picture_unreadable", "gone.png"):
        inspect(tmp_path / "gone.png")


@pytest.mark.parametrize("limit", [900, 200])  # 960 pixels: over the limit, over twice the limit
@pytest.mark.parametrize("read", [inspect, upright_rgb])
def test_a_decompression_bomb_is_refused(tmp_path, refuses, monkeypatch, limit, read):
    path = tmp_path / "bomb.png"
    _noise().save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with refuses("dataset.picture_too_large", "bomb.png"):
        read(path)


@pytest.mark.parametrize("mode", ["F", "I"])
@pytest.mark.parametrize("read", [inspect, upright_rgb])
def test_pixels_without_an_agreed_white_are_refused(tmp_path, refuses, mode, read):
    path = tmp_path / "deep.tif"
    Image.new(mode, (8, 6)).save(path)
    with refuses("dataset.picture_mode", "deep.tif", mode):
        read(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path, orientation):
    # EXIF 2.32, tag 0x0112: the place of the stored top left corner in the upright picture.
    upright = np.asarray(_noise(5, 3))
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    picture = inspect(path)
    assert (picture.width, picture.height) == (5, 3)
    assert np.array_equal(np.asarray(upright_rgb(path)), upright)


def _first_pixel(image, path):
    image.save(path)
    rgb = upright_rgb(path)
    assert rgb.mode == "RGB"
    assert inspect(path).width == image.width
    return rgb.getpixel((0, 0))


def test_transparency_lies_on_white(tmp_path):
    # Half of red and half of white, in 8 bits: 255 (1 - a) with a = 128 / 255.
    assert _first_pixel(Image.new("RGBA", (2, 2), (255, 0, 0, 128)), tmp_path / "a.png") == (
        255,
        127,
        127,
    )
    assert _first_pixel(Image.new("LA", (2, 2), (0, 0)), tmp_path / "b.png") == (255, 255, 255)


def test_a_transparent_palette_lies_on_white(tmp_path):
    image = Image.new("P", (2, 2), 0)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 1), 1)
    image.save(tmp_path / "a.gif", transparency=0)
    image.save(tmp_path / "a.png", transparency=0)
    for name in ("a.gif", "a.png"):
        rgb = upright_rgb(tmp_path / name)
        assert rgb.getpixel((0, 0)) == (255, 255, 255)
        assert rgb.getpixel((1, 1)) == (40, 50, 60)


def test_sixteen_bit_grey_keeps_black_and_white(tmp_path):
    values = np.array([[65535, 0, 257 * 100, 256]], dtype=np.uint16)
    path = tmp_path / "grey.png"
    Image.fromarray(values).save(path)
    assert np.asarray(upright_rgb(path))[0, :, 0].tolist() == [255, 0, 100, 1]


def test_ink_becomes_light(tmp_path):
    full_cyan, black = (255, 0, 0, 0), (0, 0, 0, 255)
    assert _first_pixel(Image.new("CMYK", (2, 2), full_cyan), tmp_path / "a.tif") == (0, 255, 255)
    assert _first_pixel(Image.new("CMYK", (2, 2), black), tmp_path / "b.tif") == (0, 0, 0)
    red, green, blue = _first_pixel(Image.new("CMYK", (16, 16), full_cyan), tmp_path / "c.jpg")
    assert max(red, 255 - green, 255 - blue) < 8


def test_a_photograph_with_a_second_frame_is_not_animated(tmp_path):
    content = io.BytesIO()
    _noise().save(content, "MPO", save_all=True, append_images=[_noise()])
    path = tmp_path / "phone.jpg"
    path.write_bytes(content.getvalue())
    assert not inspect(path).animated
