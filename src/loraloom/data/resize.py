"""A picture brought to the size that training uses it at."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from loraloom.data.bucket import Bucketing, Size
from loraloom.data.picture import Picture
from loraloom.data.repair import png, repaired


def training_size(picture: Picture, bucketing: Bucketing) -> Size:
    """Return the width and height to which training would bring a picture to cover its bucket.

    Larger pictures are made smaller, smaller ones larger, and training then leaves them as they
    are: what its bucket does not hold it cuts. A rounded shape may be nearest to another bucket
    than the picture's own; then the larger of the two sizes is taken, so that training does not
    enlarge it.
    """
    size = bucketing.fit(picture.width, picture.height).resized
    again = bucketing.fit(*size).resized
    while again[0] > size[0] or again[1] > size[1]:
        size, again = again, bucketing.fit(*again).resized
    return size


def scaled_png(path: Path, size: tuple[int, int]) -> bytes:
    """Return a picture, repaired and scaled to a size by Lanczos, as the content of a PNG file.

    Raises DatasetError for a picture that cannot be decoded.
    """
    image = repaired(path)
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    return png(image)
