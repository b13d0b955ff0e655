"""Masks that cannot be used are found by the check, before anything is encoded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from loraloom.cli.main import main
from loraloom.data.cache import LatentCache, Memory
from loraloom.data.mask_faults import Masking, mask_faults
from loraloom.data.mask_files import find_masks
from loraloom.data.shot import Shot
from loraloom.errors import DatasetError
from tests.bad_inputs import blocks


def _report(
    folder: Path, *flags: str, status: int, capsys: pytest.CaptureFixture[str]
) -> Mapping[str, Any]:
    assert main(["dataset", "check", str(folder), "--resolution=256", "--json", *flags]) == status
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    return json.loads(told.out)


def _of_masks(report: Mapping[str, Any]) -> dict[str, list[str]]:
    found = [each for each in report["findings"] if each["code"].startswith("dataset.mask")]
    assert all(each["severity"] == "error" and each["fix"] for each in found)
    assert all(each["count"] == len(each["files"]) for each in found)
    return {each["code"]: [Path(file).name for file in each["files"]] for each in found}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of pictures, with masks beside it of which only one is in order."""
    pictures, masks = tmp_path / "set", tmp_path / "masks"
    pictures.mkdir()
    masks.mkdir()
    for number, name in enumerate(
        ("good", "black", "small", "bare", "broken", "double", "outside")
    ):
        size = (600, 256) if name == "outside" else (300, 300)
        blocks(number, 300).resize(size).save(pictures / f"{name}.png")
        (pictures / f"{name}.txt").write_text("a thing")
    Image.new("RGB", (300, 300), "white").save(masks / "good.png")
    Image.new("RGB", (300, 300), "#00ffff").save(masks / "black.png")  # only red counts
    Image.new("L", (150, 300), 255).save(masks / "small.png")
    (masks / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    Image.new("L", (300, 300), 255).save(masks / "double.png")
    Image.new("L", (300, 300), 255).save(masks / "double.jpg")
    edge = Image.new("L", (600, 256), 0)
    edge.paste(255, (0, 0, 20, 256))
    edge.save(masks / "outside.png")
    return pictures


def test_masks_that_training_would_refuse_are_told_first(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = folder.parent / "masks"
    assert _of_masks(_report(folder, status=0, capsys=capsys)) == {}
    flags = (f"--conditioning_data_dir={masks}", "--no_enable_bucket")
    report = _report(folder, *flags, status=3, capsys=capsys)
    expected = {
        "dataset.mask_missing": ["bare.png"],
        "dataset.mask_twice": ["double.png"],
        "dataset.mask_unreadable": ["broken.png"],
        "dataset.mask_size": ["small.png"],
        # 20 columns at the edge of 600 are not in the 256 at the centre.
        "dataset.mask_empty": ["black.png", "outside.png"],
    }
    assert _of_masks(report) == expected
    assert report["repair"]["left_out"] == 6
    moving = _report(folder, *flags, "--random_crop", status=3, capsys=capsys)
    assert _of_masks(moving)["dataset.mask_empty"] == ["black.png"]
    copy = folder.parent / "copy"
    _report(folder, *flags, f"--fix={copy}", status=3, capsys=capsys)
    assert [path.name for path in sorted(copy.glob("*.png"))] == ["good.png"]
    assert _of_masks(_report(copy, *flags, status=0, capsys=capsys)) == {}
    nowhere = (f"--conditioning_data_dir={masks / 'no'}",)
    assert set(_of_masks(_report(folder, *nowhere, status=3, capsys=capsys))) == {
        "dataset.masks_unreadable"
    }


def test_a_picture_that_is_nothing_but_transparent_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = tmp_path / "set"
    pictures.mkdir()
    for number, opacity in enumerate((0, 128, 255)):
        picture = blocks(number, 300).convert("RGBA")
        picture.putalpha(opacity)
        picture.save(pictures / f"{opacity}.png")
        (pictures / f"{opacity}.txt").write_text("a thing")
    codes = {each["code"] for each in _report(pictures, status=0, capsys=capsys)["findings"]}
    assert "dataset.picture_transparent" in codes
    report = _report(pictures, "--alpha_mask", status=3, capsys=capsys)
    assert _of_masks(report) == {"dataset.mask_empty": ["0.png"]}
    assert "dataset.picture_transparent" not in {each["code"] for each in report["findings"]}
    copy = tmp_path / "copy"
    _report(pictures, "--alpha_mask", f"--fix={copy}", status=3, capsys=capsys)
    with Image.open(copy / "128.png") as kept:
        assert kept.getchannel("A").getextrema() == (128, 128)


def test_the_check_says_what_encoding_would(tmp_path: Path) -> None:
    for name, size in (("good", (16, 16)), ("small", (8, 16))):
        Image.new("LA", size, (9, 255)).save(tmp_path / f"{name}.png")
    Image.new("LA", (16, 16), (9, 0)).save(tmp_path / "empty.png")
    paths = [tmp_path / f"{name}.png" for name in ("good", "small", "empty")]
    told = [f and f.code for f in mask_faults([(p, (16, 16), Masking()) for p in paths], None)]
    assert told == [None, "dataset.mask_size", "dataset.mask_empty"]
    for path, code in zip(paths, told, strict=True):
        # Only the mask's own size is off: the picture is said to be as large as it is.
        with Image.open(path) as image:
            Image.new("RGB", (16, 16)).save(tmp_path / "picture.png")
            image.getchannel("A").save(tmp_path / "mask.png")
        shot = Shot(
            path=tmp_path / "picture.png",
            size=(16, 16),
            target=(16, 16),
            mask=tmp_path / "mask.png",
        )
        filling = LatentCache(lambda pixels: (pixels[:, :, ::8, ::8],) * 2, Memory()).fill([shot])
        if code is None:
            assert list(filling) == [1]
            continue
        with pytest.raises(DatasetError) as caught:
            list(filling)
        assert caught.value.code == code


def test_a_mask_of_two_pictures_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder.parent / "several"
    for place in ("2_sks ball", "5_sks cat"):
        (root / place).mkdir(parents=True)
        blocks(len(place), 256).save(root / place / "good.png")
    masks = folder.parent / "masks"
    report = _report(root, f"--conditioning_data_dir={masks}", status=3, capsys=capsys)
    assert _of_masks(report) == {"dataset.mask_shared": ["good.png", "good.png"]}
    pictures = [root / place / "good.png" for place in ("2_sks ball", "5_sks cat")]
    with pytest.raises(DatasetError) as caught:
        find_masks(pictures, masks)
    assert caught.value.code == "dataset.mask_shared"
