"""How captions are read by the text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from loraloom.data.caption_weights import weighted_pieces
from loraloom.models.conditioning import Conditioning
from loraloom.models.model import AbstractModel


@final
@dataclass(frozen=True)
class TextReading:
    """How captions are read: those that are read alike can be read together.

    `clip_skip` n takes the n-th layer of the text encoder from its end; `weighted` takes `(a:1.2)`
    for a weight.
    """

    clip_skip: int = 1
    weighted: bool = False

    def encode(self, model: AbstractModel, captions: Sequence[str]) -> Conditioning:
        """Return the text states of captions, one row each."""
        if self.weighted:
            pieces = [weighted_pieces(each) for each in captions]
            return model.encode_weighted_text(pieces, self.clip_skip)
        return model.encode_text(captions, self.clip_skip)
