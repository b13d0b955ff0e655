"""The captioner's processor: BERT's WordPiece with the words of our own captions, and pictures."""

# transformers is only partly typed.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from string import ascii_lowercase, digits, punctuation
from typing import Any, Final

import numpy as np
from transformers import BertTokenizer, BlipProcessor
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from loraloom.jobs.building.pool import SIDE
from loraloom.playground.captions import caption
from loraloom.playground.scenes import sample_scene

BEGIN: Final = "[DEC]"
"""The mark that BLIP's text decoder begins with."""

_MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", BEGIN, "[ENC]")
_CORPUS = 20_000
_CORPUS_SEED = 6


def world_captions(count: int = _CORPUS) -> Sequence[str]:
    """Return captions of scenes at random: every word of the world, by its frequency."""
    generator = np.random.default_rng(_CORPUS_SEED)
    return [caption(sample_scene(generator), generator) for _ in range(count)]


def captioner_processor(captions: Sequence[str]) -> Any:
    """Return the processor: pictures to pixels in [-1, 1], words of the captions to tokens."""
    pictures: Any = BlipImageProcessorPil
    return BlipProcessor(
        pictures(size={"height": SIDE, "width": SIDE}, image_mean=[0.5] * 3, image_std=[0.5] * 3),
        wordpiece_tokenizer(captions),
    )


def wordpiece_tokenizer(captions: Sequence[str]) -> Any:
    """Return a tokenizer with one token per word of the captions, the most frequent first.

    Other words in Latin letters are spelt: every letter, digit and sign is a token too, alone and
    as the continuation of a word.
    """
    signs = sorted({*ascii_lowercase, *digits, *punctuation})
    known = {*signs, *_MARKS}
    counts = Counter(word for text in captions for word in text.replace(",", " ").split())
    words = sorted(counts.keys() - known, key=lambda word: (-counts[word], word))
    tokens = (*_MARKS, *signs, *(f"##{sign}" for sign in signs), *words)
    build: Any = BertTokenizer
    tokenizer = build(
        vocab={token: number for number, token in enumerate(tokens)}, model_max_length=128
    )
    tokenizer.add_special_tokens({"bos_token": BEGIN, "additional_special_tokens": ["[ENC]"]})
    return tokenizer
