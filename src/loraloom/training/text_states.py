"""Text states of captions, computed once where the text encoder stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor

from loraloom.models.conditioning import Conditioning

_MOST = 4096


@final
class TextStateCache:
    """Remembers what a frozen text encoder says of each caption, for up to 4096 captions.

    Captions beyond that (shuffled tags make endless new ones) are encoded each time.
    """

    def __init__(self, encode: Callable[[Sequence[str]], Conditioning]) -> None:
        self._encode = encode
        self._states: dict[str, Tensor] = {}

    def __call__(self, captions: Sequence[str]) -> Conditioning:
        """Return the states of the captions, one row each."""
        known = {text: self._states[text] for text in captions if text in self._states}
        new = [text for text in dict.fromkeys(captions) if text not in known]
        if new:
            with torch.no_grad():
                fresh = dict(zip(new, self._encode(new).states, strict=True))
            known |= fresh
            self._states |= dict(list(fresh.items())[: max(0, _MOST - len(self._states))])
        return Conditioning(torch.stack([known[text] for text in captions]))
