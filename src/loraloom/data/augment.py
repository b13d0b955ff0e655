"""How the uses of one picture may differ: mirrored, cut elsewhere, in slightly other colours."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

HUE: Final = 16 / 360
"""Largest turn of the hue, in turns of the colour circle: 8 of OpenCV's 180 steps, as kohya's."""

GAMMA: Final = 0.05
"""Largest difference of the gamma from 1, on values from 0 to 1."""

COLOURED: Final = 1 / 3
"""Share of the uses in other colours: half of them by hue, half by gamma."""

CROPS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Where a cut may lie if its latents are kept: from the left or top edge to the right or bottom."""

Values = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class View:
    """How one use shows a picture.

    `across` and `down` say where the cut lies in what the training size does not hold, 0 (left,
    top) to 1. `hue` is in turns; `gamma` is an exponent on values from 0 to 1.
    """

    across: float = 0.5
    down: float = 0.5
    flip: bool = False
    hue: float = 0.0
    gamma: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What may differ from use to use.

    `flip` mirrors half of the uses. `crop` moves the cut, to one of `CROPS` where latents are kept
    and anywhere else. `colour` changes a third of the uses: the hue by up to 16 degrees, or the
    gamma by up to 0.05. kohya takes its gamma of values up to 255, which darkens pictures by up to
    a quarter and brightens none beyond white; ours is of values up to 1.
    """

    flip: bool = False
    crop: bool = False
    colour: bool = False

    def views(self) -> Sequence[View]:
        """Return every view of which latents can be kept; colours are not among them."""
        crops = CROPS if self.crop else (0.5,)
        flips = (False, True) if self.flip else (False,)
        return tuple(View(across=at, down=at, flip=flip) for at in crops for flip in flips)

    def draw(self, generator: random.Random, *, kept: bool) -> View:
        """Return the view of one use; `kept`: only such as `views` has.

        The generator is used only for what is asked for.
        """
        flip = self.flip and generator.random() < 0.5
        across = down = 0.5
        if self.crop and kept:
            across = down = generator.choice(CROPS)
        elif self.crop:
            across, down = generator.random(), generator.random()
        hue, gamma = 0.0, 1.0
        if self.colour and not kept and generator.random() < COLOURED:
            if generator.random() < 0.5:
                hue = generator.uniform(-HUE, HUE)
            else:
                gamma = generator.uniform(1 - GAMMA, 1 + GAMMA)
        return View(across=across, down=down, flip=flip, hue=hue, gamma=gamma)


def coloured(values: Values, view: View) -> Values:
    """Return RGB values, 0 to 1 with the channels last, in the colours of a view."""
    if view.hue:
        values = _turned(values, view.hue)
    return values if view.gamma == 1 else (values**view.gamma).astype(np.float32)


def _turned(values: Values, turn: float) -> Values:
    """Turn the hue in HSV, where saturation and value stay."""
    red, green, blue = np.moveaxis(values, -1, 0)
    value, least = values.max(-1), values.min(-1)
    chroma = value - least
    safe = np.where(chroma > 0, chroma, 1)
    hue = np.select(
        [value == red, value == green],
        [(green - blue) / safe % 6, (blue - red) / safe + 2],
        (red - green) / safe + 4,
    )
    # Source: the closed form of HSV to RGB, V - C max(0, min(k, 4 - k, 1)).
    places = (np.array([5, 3, 1]) + (hue + 6 * turn)[..., None]) % 6
    share = np.clip(np.minimum(places, 4 - places), 0, 1)
    return (value[..., None] - chroma[..., None] * share).astype(np.float32)
