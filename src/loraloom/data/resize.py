"""A picture brought to the size that training uses it at."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from loraloom.data.checks.pictures import enlargement
from loraloom.data.picture import Picture
from loraloom.data.repair import png, repaired


def training_size(picture: Picture, resolution: tuple[int, int]) -> tuple[int, int]:
    """Return the width and height that a picture is scaled to: the area of the resolution.

    The aspect ratio stays; what a bucket does not hold is cut in training. Larger pictures are made
    smaller, smaller ones larger.
    """
    factor = enlargement(picture, resolution)
    return max(1, round(picture.width * factor)), max(1, round(picture.height * factor))


def scaled_png(path: Path, size: tuple[int, int]) -> bytes:
    """Return a picture, repaired and scaled to a size by Lanczos, as the content of a PNG file.

    Raises DatasetError for a picture that cannot be decoded.
    """
    image = repaired(path)
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return png(image)
