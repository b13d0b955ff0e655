"""A picture as the numbers that a network is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from loraloom.data.augment import View, coloured
from loraloom.data.picture import upright_rgb
from loraloom.data.shot import Shot
from loraloom.errors import DatasetError


def load_pixels(path: Path, width: int, height: int) -> Float[Tensor, "3 height width"]:
    """Return an upright picture, scaled to cover `width` x `height` and cut at the centre.

    Otherwise as `pixels`.
    """
    image = upright_rgb(path)
    return pixels(image, Shot(path=path, size=image.size, target=(width, height)), View())


def open_picture(shot: Shot) -> Image.Image:
    """Return a shot's picture, upright in RGB; transparency lies on white.

    Raises DatasetError for a picture that cannot be decoded, or has another size than it had.
    """
    image = upright_rgb(shot.path)
    if image.size != shot.size:
        raise DatasetError("dataset.picture_changed", count=1, files=str(shot.path))
    return image


def pixels(image: Image.Image, shot: Shot, view: View) -> Float[Tensor, "3 height width"]:
    """Return a view of a shot's picture in RGB, in [-1, 1], float32.

    A picture that has this size already is not resampled. Others go through Lanczos both ways:
    Pillow widens its kernel when shrinking, so that nothing aliases, while its box filter would
    shift edges by up to half a pixel at ratios that are not whole.
    """
    if image.size != shot.target:
        image = image.resize(
            shot.target,
            Image.Resampling.LANCZOS,
            box=shot.box(view),
            # Pictures far larger than asked are first halved, thirded, … by exact averaging; from
            # 3 on the result is indistinguishable from one single pass.
            reducing_gap=3.0,
        )
    values = np.asarray(image)
    if view.flip:
        values = values[:, ::-1]
    if view.hue or view.gamma != 1:
        fractions = coloured((values / np.float32(255)).astype(np.float32), view)
        return torch.tensor(fractions).permute(2, 0, 1).contiguous() * 2 - 1
    # A copy, for torch takes no array that is read backwards.
    shown = torch.tensor(values.copy()).permute(2, 0, 1).contiguous()
    return shown.to(torch.float32) / 127.5 - 1
