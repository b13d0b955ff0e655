"""A picture as a training uses it: at which size, with which differences, under which mask."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from loraloom.data.augment import Augmentation, View

Box: TypeAlias = tuple[float, float, float, float]
MaskSource: TypeAlias = Path | Literal["alpha"] | None
"""A mask's own file, the picture's own transparency, or none: all of the picture counts."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One picture and the size at which it is learnt.

    `size` and `target` are (width, height) in pixels, of the upright picture and of what the
    networks are shown. The picture is brought to `scaled`, the smallest size that covers the
    target where it is None, of which the target is cut.
    """

    path: Path
    size: tuple[int, int]
    target: tuple[int, int]
    scaled: tuple[int, int] | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    mask: MaskSource = None

    def box(self, view: View) -> Box:
        """Return the part of the picture that a view shows: left, top, right and bottom edge.

        In fractions of a pixel, so that the aspect ratio stays exact where `scaled` is None.
        """
        width, height = self.size
        if self.scaled is None:
            scale = max(self.target[0] / width, self.target[1] / height)
            part = self.target[0] / scale, self.target[1] / scale
        else:
            part = (
                self.target[0] * width / self.scaled[0],
                self.target[1] * height / self.scaled[1],
            )
        left = max(0.0, (width - part[0]) * view.across)
        top = max(0.0, (height - part[1]) * view.down)
        if self.scaled == self.size:  # nothing is resampled, so no pixel may be cut in two
            left, top = float(int(left)), float(int(top))
        return left, top, min(left + part[0], width), min(top + part[1], height)
