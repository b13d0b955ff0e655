"""The looks a scene can be drawn in."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from loraloom.playground.raster import Plane, to_bytes
from loraloom.playground.scenes import Scene
from loraloom.playground.styles import anime, cartoon, pencil, pixel, plain, watercolor


@dataclass(frozen=True, kw_only=True)
class Style:
    """A look: its renderer and the word that asks for it.

    `held_out` marks a look that nothing shipped is trained on: one to try training with.
    """

    render: Callable[[Scene, int, int], Plane]
    trigger: str | None
    description: str
    held_out: bool


STYLES = MappingProxyType(
    {
        "plain": Style(
            render=plain.render,
            trigger=None,
            description="soft shading, smooth gradients, no outlines",
            held_out=False,
        ),
        "anime": Style(
            render=anime.render,
            trigger="anistyle",
            description="cel shading, vivid skies, rim light and sparkles",
            held_out=False,
        ),
        "watercolor": Style(
            render=watercolor.render,
            trigger="wcstyle",
            description="pale blotchy washes on paper with dark edges",
            held_out=False,
        ),
        "cartoon": Style(
            render=cartoon.render,
            trigger="cartoonstyle",
            description="thick black outlines, flat pop colours, halftone dots",
            held_out=False,
        ),
        "pixel": Style(
            render=pixel.render,
            trigger="pixelstyle",
            description="large square pixels, few colours, ordered dithering",
            held_out=True,
        ),
        "pencil": Style(
            render=pencil.render,
            trigger="pencilstyle",
            description="diagonal coloured-pencil hatching and graphite outlines",
            held_out=True,
        ),
    }
)
"""Every style by name."""


def render(
    scene: Scene, style: str = "plain", size: int = 128, supersample: int = 2
) -> npt.NDArray[np.uint8]:
    """Draw a scene: [size, size, 3] bytes, the same for the same scene and style."""
    return to_bytes(STYLES[style].render(scene, size, supersample))
