"""A judge of playground pictures: it reads what is in a picture, and in which style it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor, nn

from loraloom.playground.scenes import BACKGROUNDS, COLOURS, OBJECTS, POSITIONS, SIZES
from loraloom.playground.styles import STYLES

QUESTIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "object": OBJECTS,
        "colour": COLOURS,
        "background": BACKGROUNDS,
        "position": POSITIONS,
        "size": SIZES,
        "style": tuple(STYLES),
    }
)
"""What the judge is asked, and the answers it may give."""

_WIDTHS = (16, 32, 64, 96, 128)
_DOUBLED_FROM = 2


@final
@dataclass(frozen=True)
class Reading:
    """The judge's answer to each question about one picture, with its probability."""

    answers: Mapping[str, str]
    confidence: Mapping[str, float]


@final
class Judge(nn.Module):
    """A convolutional classifier with one head per question, for 128x128 pictures.

    It sees the pixels and their coordinates, so that position can be read from pooled features.
    """

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        width = 5
        for depth, wider in enumerate(_WIDTHS):
            blocks += _block(width, wider, stride=2)
            if depth >= _DOUBLED_FROM:
                blocks += _block(wider, wider, stride=1)
            width = wider
        self.body = nn.Sequential(*blocks)
        self.heads = nn.ModuleDict(
            {question: nn.Linear(2 * width, len(known)) for question, known in QUESTIONS.items()}
        )

    def forward(self, pixels: Float[Tensor, "batch 3 128 128"]) -> dict[str, Tensor]:
        """Return the logits of every question, each (batch, answers). Pixels lie in [-1, 1]."""
        axis = torch.linspace(-1, 1, pixels.shape[-1], device=pixels.device, dtype=pixels.dtype)
        down, across = torch.meshgrid(axis, axis, indexing="ij")
        where = torch.stack([down, across]).expand(len(pixels), 2, *pixels.shape[2:])
        features: Tensor = self.body(torch.cat([pixels, where], dim=1))
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        return {question: head(pooled) for question, head in self.heads.items()}

    @torch.inference_mode()
    def read(self, pixels: Float[Tensor, "batch 3 128 128"]) -> list[Reading]:
        """Return what the judge sees in each picture."""
        logits = {question: F.softmax(each, dim=1) for question, each in self(pixels).items()}
        best = {question: each.max(dim=1) for question, each in logits.items()}
        return [
            Reading(
                {q: QUESTIONS[q][int(found.indices[row])] for q, found in best.items()},
                {q: float(found.values[row]) for q, found in best.items()},
            )
            for row in range(len(pixels))
        ]


def _block(width: int, wider: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(width, wider, 3, stride=stride, padding=1),
        nn.GroupNorm(8, wider),
        nn.SiLU(),
    ]


def load_judge(path: Path) -> Judge:
    """Load the judge's weights; stored in half precision, they are used in float32."""
    judge = Judge()
    judge.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return judge.eval().requires_grad_(False)
