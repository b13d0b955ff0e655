"""A picture looked at closely, and many of them at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from loraloom.data.fingerprint import Fingerprint, fingerprint
from loraloom.data.picture import Picture, decode, opened, quiet, rgb, upright
from loraloom.data.sharpness import Sharpness, measure, reduced
from loraloom.errors import DatasetError

_LEAST: Final = (256, 256)
_AT_ONCE: Final = 32


@dataclass(frozen=True, kw_only=True)
class Look:
    """What decoding a picture showed; where there is a `fault` the rest is not known.

    `sharpness` is None too for a picture that is too small to tell.
    """

    path: Path
    fault: DatasetError | None = None
    picture: Picture | None = None
    fingerprint: Fingerprint | None = None
    sharpness: Sharpness | None = None


def look_at(paths: Sequence[Path], *, workers: int | None = None) -> Iterator[Look]:
    """Yield a look at each picture, in order, decoding on several threads.

    Pillow decodes and scales without holding Python's lock; with small pictures the rest, which
    holds it, takes as long. `workers` defaults to the processors that this process may use. At most
    that many pictures are in memory, each up to Pillow's limit of size.
    """
    workers = workers or _processors()
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(paths), _AT_ONCE * workers):
            with quiet():
                looks = list(pool.map(_look, paths[start : start + _AT_ONCE * workers]))
            yield from looks


def _seen(image: Image.Image) -> Image.Image:
    """Return a decoded picture in RGB: itself where it is, for the copy would cost a sixth."""
    is_plain = image.mode == "RGB" and not image.has_transparency_data
    return image if is_plain else rgb(image)


def _processors() -> int:
    """Return how many processors this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _look(path: Path) -> Look:
    try:
        with opened(path) as image:
            picture = decode(image, _LEAST)
            pixels = upright(image, _seen(image))
    except DatasetError as error:
        return Look(path=path, fault=error)
    grey = reduced(pixels.convert("L"))
    return Look(
        path=path,
        picture=picture,
        fingerprint=fingerprint(pixels, grey),
        sharpness=measure(grey),
    )
