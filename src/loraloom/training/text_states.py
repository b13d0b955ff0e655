"""Text states of captions, computed once where the text encoder stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, final

import torch
from torch import Tensor

from loraloom.models.conditioning import Conditioning

_MOST: Final = 256 << 20
"""Bytes that the states of one adapter's captions may take; one of SD 1.x takes 231 KiB."""


@final
class TextStateCache:
    """Remembers what a frozen text encoder says of each caption, in the memory of the host.

    Captions beyond 256 MiB (shuffled tags make endless new ones) are encoded each time.
    """

    def __init__(self, encode: Callable[[Sequence[str]], Conditioning]) -> None:
        self._encode = encode
        self._states: dict[str, Tensor] = {}
        self._size = 0
        self._device = torch.device("cpu")

    def __call__(self, captions: Sequence[str]) -> Conditioning:
        """Return the states of the captions, one row each."""
        known = {text: self._states[text] for text in captions if text in self._states}
        new = [text for text in dict.fromkeys(captions) if text not in known]
        if not new:
            return Conditioning(torch.stack([known[text] for text in captions]).to(self._device))
        with torch.no_grad():
            states = self._encode(new).states
        self._device = states.device
        fresh = dict(zip(new, states.cpu(), strict=True))
        for text, state in fresh.items():
            if self._size + state.nbytes <= _MOST:
                self._states[text] = state.clone()  # not a view, which would keep its whole batch
                self._size += state.nbytes
        known |= fresh
        return Conditioning(torch.stack([known[text] for text in captions]).to(self._device))
