"""A picture file: checked by decoding it, turned upright, and brought to RGB."""

from __future__ import annotations

import os
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


_LAYERED: Final = frozenset({"LA", "PA", "RGBA", "RGBa", "La"})


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What a picture file holds: width and height in pixels once upright, and its oddities.

    `animated`: further frames follow the first. `turned`: EXIF asks to turn or mirror it.
    `transparent`: something shines through. `ink`: it is stored as CMYK.
    """

    width: int
    height: int
    animated: bool = False
    turned: bool = False
    transparent: bool = False
    ink: bool = False


def inspect(path: Path) -> Picture:
    """Return what the picture holds, after decoding all of it.

    Raises DatasetError for a file that is damaged, cut short, larger than Pillow's limit against
    decompression bombs, or of a pixel type with no agreed way to RGB.
    """
    with quiet(), opened(path) as image:
        return decode(image, (1, 1))


def upright_rgb(path: Path) -> Image.Image:
    """Return the first frame, turned as EXIF asks, in RGB; transparency lies on white.

    16-bit grey is rounded to 8 bits, CMYK goes to RGB by Pillow's formula; colour profiles are not
    applied. Raises DatasetError as `inspect` does.
    """
    with quiet(), opened(path) as image:
        image.load()
        return upright(image, rgb(image))


def decode(image: Image.Image, least: tuple[int, int]) -> Picture:
    """Read an opened picture to its end and return what it holds; the pixels are in `image`.

    A JPEG may be decoded at a half, a quarter or an eighth of its size, but not below `least`
    (width, height); its file is read to the end all the same.
    """
    width, height = image.size
    image.draft(None, least)
    image.load()
    orientation = image.getexif().get(_ORIENTATION)
    if orientation in _SIDEWAYS:
        width, height = height, width
    return Picture(
        width=width,
        height=height,
        # Phones keep depth and gain maps as further frames of what is one photograph (MPO).
        animated=image.format != "MPO" and bool(getattr(image, "is_animated", False)),
        turned=orientation in _TURNS,
        transparent=_is_transparent(image),
        ink=image.mode == "CMYK",
    )


def upright(image: Image.Image, pixels: Image.Image) -> Image.Image:
    """Return pixels made from an opened picture, turned as its EXIF asks."""
    turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    return pixels if turn is None else pixels.transpose(turn)


@contextmanager
def quiet() -> Generator[None]:
    """Let Pillow be silent on odd metadata, on which no pixel depends.

    It changes how the whole process warns, so it is entered around threads and not in them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@contextmanager
def opened(path: Path) -> Generator[Image.Image]:
    """Open a picture inside `quiet`; what is wrong with the file is a DatasetError of `inspect`."""
    check_regular(path, "dataset.picture_unreadable")
    try:
        with Image.open(path) as image:
            _check_mode(path, image)
            yield image
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise DatasetError(
            "dataset.picture_too_large", count=1, files=str(path), limit=f"{limit:.3g}"
        ) from error
    except _DAMAGE as error:
        raise DatasetError(
            "dataset.picture_unreadable", count=1, files=str(path), reason=str(error)
        ) from error


def check_regular(path: Path, code: str) -> None:
    """Raise DatasetError for what is there and is no file, such as a pipe: reading it may never
    end.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise DatasetError(code, count=1, files=str(path), reason="not a regular file")


def _check_mode(path: Path, image: Image.Image) -> None:
    if image.mode not in _EIGHT_BIT and not _is_sixteen_bit(image):
        raise DatasetError("dataset.picture_mode", count=1, files=str(path), mode=image.mode)


def _is_sixteen_bit(image: Image.Image) -> bool:
    # PNG has no deeper grey than 16 bits; older Pillows hold it in 32.
    return image.mode in _SIXTEEN_BIT or (image.mode == "I" and image.format == "PNG")


def _is_transparent(image: Image.Image) -> bool:
    if image.mode in _LAYERED:
        lowest, _ = image.getchannel(image.mode[-1]).getextrema()
        return lowest != 255
    if image.has_transparency_data:
        lowest, _ = image.convert("RGBA").getchannel("A").getextrema()
        return lowest != 255
    return False


def rgb(image: Image.Image) -> Image.Image:
    """Return a decoded picture in RGB, as it is stored; transparency lies on white."""
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
