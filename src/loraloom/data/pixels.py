"""A picture as the numbers that a network is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from loraloom.data.picture import upright_rgb


def load_pixels(path: Path, width: int, height: int) -> Float[Tensor, "3 height width"]:
    """Return an upright picture, scaled to cover `width` x `height` and cut at the centre.

    RGB in [-1, 1], float32; transparency lies on white. A picture that has this size already is
    not resampled. Others go through Lanczos both ways: Pillow widens its kernel when shrinking, so
    that nothing aliases, while its box filter would shift edges by up to half a pixel at ratios
    that are not whole. Raises DatasetError for a picture that cannot be decoded.
    """
    image = upright_rgb(path)
    if image.size != (width, height):
        image = image.resize(
            (width, height),
            Image.Resampling.LANCZOS,
            box=_centre(image.width, image.height, width, height),
            # Pictures far larger than asked are first halved, thirded, … by exact averaging; from
            # 3 on the result is indistinguishable from one single pass.
            reducing_gap=3.0,
        )
    values = torch.tensor(np.asarray(image)).permute(2, 0, 1).contiguous()
    return values.to(torch.float32) / 127.5 - 1


def _centre(
    width: int, height: int, target_width: int, target_height: int
) -> tuple[float, float, float, float]:
    """Return the largest centred part of a picture that has the target's aspect ratio."""
    # Cutting before scaling, in fractions of a pixel, keeps the aspect exact, where scaling to
    # whole pixels first would stretch the picture a little.
    scale = max(target_width / width, target_height / height)
    left = (width - target_width / scale) / 2
    top = (height - target_height / scale) / 2
    return max(left, 0.0), max(top, 0.0), min(width - left, width), min(height - top, height)
