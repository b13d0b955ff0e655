"""How sharp a picture is: the variance of its Laplacian at one size for all pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image

AREA: Final = 256 * 256
"""Larger pictures are scaled down to this many pixels first; smaller ones are left as they are."""

# The measure: Pech-Pacheco et al., ICPR 2000; LAPV in Pertuz et al., Pattern Recognition 46, 2013.
# The limits: measured on the playground's six styles and on the photographs of scikit-image 0.26.
# At 512 pixels, sharp ones have a variance of 88 or more; blurred by a Gaussian of 4 pixels, 28 or
# less. A picture of little contrast has a small variance too, but not in relation to its contrast.
_VARIANCE: Final = 30.0
_RELATIVE: Final = 0.07
_FLAT: Final = 1.0
_SMALLEST: Final = 32


@dataclass(frozen=True, kw_only=True)
class Sharpness:
    """The variance of the Laplacian of 8-bit grey values, and of the grey values themselves."""

    edges: float
    contrast: float

    @property
    def blurred(self) -> bool:
        """Whether hardly an edge is sharp. A flat picture has none to judge by."""
        if self.contrast < _FLAT:
            return False
        return self.edges < _VARIANCE and self.edges < _RELATIVE * self.contrast


def measure(grey: Image.Image) -> Sharpness | None:
    """Return the sharpness of a grey picture, None for one too small to tell."""
    if min(grey.size) < _SMALLEST:
        return None
    return _sharpness(np.asarray(reduced(grey)))


def reduced(grey: Image.Image) -> Image.Image:
    """Return a picture scaled down to at most `AREA` pixels, by averaging."""
    factor = (grey.width * grey.height / AREA) ** 0.5
    if factor <= 1:
        return grey
    size = (max(1, round(grey.width / factor)), max(1, round(grey.height / factor)))
    return grey.resize(size, Image.Resampling.BOX)


def _sharpness(grey: UInt8[np.ndarray, "height width"]) -> Sharpness:
    g = grey.astype(np.int16)
    across = g[1:-1, :-2] + g[1:-1, 2:]
    laplacian = across + g[:-2, 1:-1] + g[2:, 1:-1] - 4 * g[1:-1, 1:-1]
    return Sharpness(edges=_variance(laplacian), contrast=_variance(g))


def _variance(values: np.ndarray) -> float:
    return float(values.var(dtype=np.float32))
