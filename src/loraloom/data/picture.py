"""A picture file: checked by decoding it, turned upright, and brought to RGB."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
from PIL import Image

from loraloom.errors import DatasetError

READABLE: Final = frozenset(
    {".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
# Pictures to a person, but not to Pillow; leaving them out must not go unnoticed.
UNREADABLE: Final = frozenset({".heic", ".heif", ".jxl", ".psd", ".svg"})

_EIGHT_BIT: Final = frozenset({"1", "CMYK", "HSV", "L", "LA", "P", "PA", "RGB", "RGBA", "YCbCr"})
_SIXTEEN_BIT: Final = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})

# What Pillow's decoders raise on files that are not what they claim to be.
_DAMAGE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    EOFError,
    struct.error,
    zlib.error,
)

# EXIF 2.32, tag 0x0112: how the stored rows and columns lie in the upright picture.
_ORIENTATION: Final = 0x0112
_TURNS: Final = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)
_SIDEWAYS: Final = frozenset({5, 6, 7, 8})


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Width and height in pixels once upright, and whether further frames follow the first."""

    width: int
    height: int
    animated: bool


def inspect(path: Path) -> Picture:
    """Return what the picture holds, after decoding all of it.

    Raises DatasetError for a file that is damaged, cut short, larger than Pillow's limit against
    decompression bombs, or of a pixel type with no agreed way to RGB.
    """
    with _opened(path) as image:
        width, height = image.size
        _check_mode(path, image)
        # A JPEG decoded at an eighth of its size still reads the file to its end.
        image.draft(None, (1, 1))
        image.load()
        if image.getexif().get(_ORIENTATION) in _SIDEWAYS:
            width, height = height, width
        # Phones keep depth and gain maps as further frames of what is one photograph (MPO).
        animated = image.format != "MPO" and bool(getattr(image, "is_animated", False))
    return Picture(width=width, height=height, animated=animated)


def upright_rgb(path: Path) -> Image.Image:
    """Return the first frame, turned as EXIF asks, in RGB; transparency lies on white.

    16-bit grey is rounded to 8 bits, CMYK goes to RGB by Pillow's formula; colour profiles are not
    applied. Raises DatasetError as `inspect` does.
    """
    with _opened(path) as image:
        _check_mode(path, image)
        image.load()
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
        rgb = _rgb(image)
        return rgb if turn is None else rgb.transpose(turn)


@contextmanager
def _opened(path: Path) -> Generator[Image.Image]:
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata, on which the pixels do not depend.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise DatasetError(
            "dataset.picture_too_large", file=str(path), limit=f"{limit:.3g}"
        ) from error
    except _DAMAGE as error:
        raise DatasetError(
            "dataset.picture_unreadable", file=str(path), reason=str(error)
        ) from error


def _check_mode(path: Path, image: Image.Image) -> None:
    if image.mode not in _EIGHT_BIT and not _is_sixteen_bit(image):
        raise DatasetError("dataset.picture_mode", file=str(path), mode=image.mode)


def _is_sixteen_bit(image: Image.Image) -> bool:
    # PNG has no deeper grey than 16 bits; older Pillows hold it in 32.
    return image.mode in _SIXTEEN_BIT or (image.mode == "I" and image.format == "PNG")


def _rgb(image: Image.Image) -> Image.Image:
    if _is_sixteen_bit(image):
        # 65535 / 255 = 257, so that white stays white; Pillow's own conversion clips at 255.
        grey = np.rint(np.asarray(image, dtype=np.float64) / 257).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        white.alpha_composite(layer)
        return white.convert("RGB")
    return image.convert("RGB")
