"""Pictures: from pixels to files that tell how they were made."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from loraloom.errors import LoraLoomError
from loraloom.formats.atomic import write_files
from loraloom.models.model import Pixels

INFOTEXT_KEY: Final = "parameters"
"""The text chunk in which web UIs look for how a picture was made."""


def to_pictures(pixels: Pixels) -> list[Image.Image]:
    """Return the pictures of pixels in [-1, 1], rounded as diffusers' `VaeImageProcessor` does.

    Pixels that are not finite are an error: half precision overflowed.
    """
    if not bool(torch.isfinite(pixels).all()):
        raise LoraLoomError("images.not_finite")
    unit = (pixels.float() * 0.5 + 0.5).clamp(0, 1)
    stored = (unit * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(picture) for picture in stored]


def write_png(picture: Image.Image, path: Path, infotext: str, *, overwrite: bool = False) -> None:
    """Write a PNG with its infotext, whole or not at all; what cannot be is an `OutputError`.

    Text beyond Latin-1 makes the chunk an international one (iTXt).
    """
    chunks = PngInfo()
    chunks.add_text(INFOTEXT_KEY, infotext)
    content = io.BytesIO()
    picture.save(content, "PNG", pnginfo=chunks)
    write_files({path: content.getvalue()}, overwrite=overwrite)


def read_infotext(path: Path) -> str | None:
    """Return the infotext of a picture file, None if it has none."""
    with Image.open(path) as picture:
        text = picture.info.get(INFOTEXT_KEY)
    return text if isinstance(text, str) else None
