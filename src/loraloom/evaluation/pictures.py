"""Pictures inside a page: read from files, made crisp, and written as `data:` addresses."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final, final

from PIL import Image

from loraloom.errors import LoraLoomError

_SMALL: Final = 256
"""Pictures below this size in pixels are enlarged to twice their size: browsers do it worse."""
_QUALITY: Final = 88


@final
@dataclass(frozen=True, kw_only=True)
class Embedded:
    """A picture's `data:` address and its size in pixels as embedded."""

    address: str
    width: int
    height: int


def embed(path: Path) -> Embedded:
    """Read a picture and return it as JPEG, or as PNG where that is no larger.

    Raises LoraLoomError where the file cannot be read as a picture.
    """
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except OSError as error:  # Pillow's own UnidentifiedImageError is one
        raise LoraLoomError("report.picture_unreadable", path=path) from error
    if max(image.size) < _SMALL:
        image = image.resize((2 * image.width, 2 * image.height), Image.Resampling.LANCZOS)
    jpeg, png = BytesIO(), BytesIO()
    # Colour at full resolution: flat styles have hard coloured edges.
    image.save(jpeg, "JPEG", quality=_QUALITY, subsampling=0, optimize=True)
    image.save(png, "PNG", optimize=True)
    choices = (("image/png", png.getvalue()), ("image/jpeg", jpeg.getvalue()))
    media_type, data = min(choices, key=lambda choice: len(choice[1]))
    address = f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
    return Embedded(address=address, width=image.width, height=image.height)
