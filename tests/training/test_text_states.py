"""Text states that are remembered."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from loraloom.models.conditioning import Conditioning
from loraloom.training import text_states
from loraloom.training.text_states import TextStateCache


class Encoder:
    """Encodes a caption as its length; counts what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, captions: Sequence[str]) -> Conditioning:
        self.asked += captions
        lengths = torch.tensor([float(len(caption)) for caption in captions])
        return Conditioning(lengths.view(-1, 1, 1).expand(-1, 4, 2))


def test_each_caption_is_encoded_once() -> None:
    encoder = Encoder()
    cache = TextStateCache(encoder)
    for captions in (["a", "bb", "a"], ["bb", "ccc"], ["a"]):
        states = cache(captions).states
        assert states[:, 0, 0].tolist() == [len(caption) for caption in captions]
    assert encoder.asked == ["a", "bb", "ccc"]


def test_no_more_is_kept_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Encoder()
    monkeypatch.setattr(text_states, "_MOST", 2 * 4 * 2 * 4)  # two captions of 4 x 2 floats
    cache = TextStateCache(encoder)
    for _ in range(2):
        assert cache(["a", "bb", "ccc"]).states[:, 0, 0].tolist() == [1, 2, 3]
    assert encoder.asked == ["a", "bb", "ccc", "ccc"]
