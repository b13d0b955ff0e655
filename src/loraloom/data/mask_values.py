"""Masks as numbers: how much each cell of what a network is shown counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from loraloom.data.augment import View
from loraloom.data.picture import opened, quiet, upright, upright_rgb
from loraloom.data.shot import Shot
from loraloom.errors import DatasetError


def mask_values(shot: Shot, view: View, width: int, height: int) -> npt.NDArray[np.float32]:
    """Return how much each of `height` rows of cells of a view counts, 0 to 1: their pixels' mean.

    A mask's own file counts by its red channel, as in kohya's trainer: white is learnt, black is
    not. Transparency counts by its opacity. Raises DatasetError for a mask of another size than the
    picture, and for one that leaves nothing: a moving cut may miss it, the only one may not.
    """
    assert shot.mask is not None
    if shot.mask == "alpha":
        where, image = shot.path, _opacity(shot.path)
    else:
        where, image = shot.mask, upright_rgb(shot.mask).getchannel("R")
    if image.size != shot.size:
        sizes = {"size": "{}x{}".format(*image.size), "picture": "{}x{}".format(*shot.size)}
        raise DatasetError("dataset.mask_size", count=1, files=str(where), **sizes)
    cells = image.resize((width, height), Image.Resampling.BOX, box=shot.box(view))
    values = np.asarray(cells, dtype=np.float32) / np.float32(255)
    if not values.any() and not (shot.augmentation.crop and image.getextrema() != (0, 0)):
        raise DatasetError("dataset.mask_empty", count=1, files=str(where))
    return values[:, ::-1].copy() if view.flip else values


def _opacity(path: Path) -> Image.Image:
    """Return the alpha channel of an upright picture; white where it has none."""
    with quiet(), opened(path) as image:
        image.load()
        if not image.has_transparency_data:
            return upright(image, Image.new("L", image.size, 255))
        return upright(image, image.convert("RGBA").getchannel("A"))
