"""What is left of a picture when it is scaled, recompressed or brightened: a short fingerprint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

_SIDE: Final = 32
_PATCHES: Final = 8
_BITS: Final = 128

# DCT-II without its factors of normalisation, which change no sign.
_WAVES: Final = 12
_BASIS: Final = np.cos(
    np.pi * np.arange(_WAVES)[:, None] * (2 * np.arange(_SIDE)[None, :] + 1) / (2 * _SIDE)
).astype(np.float32)

# The lowest frequencies besides the mean, dealt out so that each 16 bits hold low and high ones.
_LOWEST: Final = sorted(
    ((row, column) for row in range(_WAVES) for column in range(_WAVES) if row + column),
    key=lambda place: (sum(place), place),
)[:_BITS]
_ORDER: Final = np.array(_LOWEST).reshape(16, 8, 2).transpose(1, 0, 2).reshape(_BITS, 2)

# Far below what one grey level makes of a coefficient, far above what rounding does.
_SILENCE: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """128 bits of shape, and the colours of 8x8 patches (RGB, by rows).

    A bit is the sign of one of the lowest frequencies of the grey values: a perceptual hash by the
    discrete cosine transform (C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash
    Functions", 2010), with zero in place of the median.
    """

    bits: bytes
    colours: bytes


def fingerprint(upright: Image.Image, grey: Image.Image) -> Fingerprint:
    """Return the fingerprint of a picture from its RGB and its grey values, both upright."""
    small = np.asarray(grey.resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float32)
    waves = (_BASIS @ small @ _BASIS.T)[_ORDER[:, 0], _ORDER[:, 1]]
    patches = upright.resize((_PATCHES, _PATCHES), Image.Resampling.BOX)
    return Fingerprint(
        bits=np.packbits(waves > _SILENCE).tobytes(),
        colours=patches.tobytes(),
    )
