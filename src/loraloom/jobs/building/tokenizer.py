"""The playground's tokenizer: CLIP's byte-level BPE, with merges learned on our own captions."""

# transformers and tokenizers are only partly typed.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateImportUsage=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORD_END = "</w>"


def learn_tokenizer(corpus: Iterable[str], merges: int) -> CLIPTokenizer:
    """Return a CLIP tokenizer with up to `merges` merges; any UTF-8 text can be encoded.

    The vocabulary is laid out as CLIP's: the 256 bytes, the 256 bytes that end a word, one token
    per merge, and the two marks.
    """
    alphabet = sorted(ByteLevel.alphabet())
    single = [*alphabet, *(byte + _WORD_END for byte in alphabet)]
    backend: Tokenizer = _clip({token: i for i, token in enumerate([*single, _START, _END])}, [])[
        "backend"
    ]
    trainer: Any = BpeTrainer(
        vocab_size=len(single) + merges,
        end_of_word_suffix=_WORD_END,
        # Given here, the bytes that end a word have fixed numbers; otherwise they are numbered in
        # the order of a hash table, by which equally frequent pairs are then sorted.
        special_tokens=single,
        show_progress=False,
    )
    backend.train_from_iterator(corpus, trainer)
    learned: list[list[str]] = json.loads(backend.to_str())["model"]["merges"]
    pairs = [(left, right) for left, right in learned[:merges]]
    tokens = [*single, *(left + right for left, right in pairs)]
    vocabulary = {token: i for i, token in enumerate([*dict.fromkeys(tokens), _START, _END])}
    return _clip(vocabulary, pairs)["tokenizer"]


def _clip(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> dict[str, Any]:
    """Return a CLIP tokenizer and the engine inside it."""
    build: Any = CLIPTokenizer
    tokenizer = build(
        vocab=vocabulary,
        merges=merges,
        model_max_length=77,
    )
    return {"tokenizer": tokenizer, "backend": tokenizer.backend_tokenizer}
