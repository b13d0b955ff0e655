"""What a text encoder makes of a prompt: how many tokens, what is cut, what it cannot spell."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from loraloom.data.caption_weights import weighted_pieces

Span: TypeAlias = tuple[int, int]
Spell: TypeAlias = Callable[[str], Sequence[Span]]
"""Returns which letters of a text each token covers."""

LIMIT: Final = 75
"""How many tokens of a prompt CLIP's text encoder sees besides its two marks."""

# CLIP's own division of a text, before it merges letters (openai/CLIP, simple_tokenizer.py).
_PIECES: Final = re.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|[^\s\w]+|_+", re.IGNORECASE | re.UNICODE
)
_WORD: Final = re.compile(r"[^\W\d_]{2,}")

# Fitted to CLIP's vocabulary: English words of up to seven letters are nearly always one token,
# Hangul takes 1.98 tokens a syllable, and letters of two bytes take about one token each.
_LETTERS: Final = 7


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """A prompt as the text encoder gets it.

    `text` is what is read: without the brackets of weights where these are taken for such. `cut` is
    its end beyond the tokens that are seen, "" where all are. `spelled` is the share of its letters
    that stand in words spelled out letter by letter or byte by byte, which the vocabulary does not
    know.
    """

    text: str
    count: int
    cut: str
    spelled: float


TokenCounter: TypeAlias = Callable[[str], Tokens]


def token_counter(spell: Spell, limit: int = LIMIT, *, weighted: bool = False) -> TokenCounter:
    """Return what counts the tokens of prompts; `weighted` ones have weights, as "(a:1.2)"."""

    def count(prompt: str) -> Tokens:
        return tokens_of(prompt, spell(prompt), limit)

    def count_weighted(prompt: str) -> Tokens:
        pieces = [text for text, _ in weighted_pieces(prompt)]
        spans: list[Span] = []
        start = 0
        for piece in pieces:  # each is tokenized on its own
            spans += [(start + first, start + last) for first, last in spell(piece)]
            start += len(piece)
        return tokens_of("".join(pieces), spans, limit)

    return count_weighted if weighted else count


def tokens_of(text: str, spans: Sequence[Span], limit: int = LIMIT) -> Tokens:
    """Return what is to be told of a prompt, given the span of letters that each token covers."""
    cut = text[spans[limit][0] :] if len(spans) > limit else ""
    return Tokens(text=text, count=len(spans), cut=cut, spelled=_spelled(text, spans))


def estimated_spans(text: str) -> tuple[Span, ...]:
    """Return roughly which letters CLIP's tokens would cover, for want of a tokenizer."""
    return tuple(_estimated(text))


estimate: Final[TokenCounter] = token_counter(estimated_spans)
"""Tells what CLIP would roughly make of a prompt."""


def _estimated(text: str) -> Iterator[Span]:
    for piece in _PIECES.finditer(text):
        start, end = piece.span()
        if not piece[0][0].isalpha():
            yield start, end
            continue
        pieces = _tokens_in(piece[0])
        for number in range(pieces):
            yield (
                start + number * (end - start) // pieces,
                start + math.ceil((number + 1) * (end - start) / pieces),
            )


def _tokens_in(word: str) -> int:
    beyond = [letter for letter in word if len(letter.encode()) > 1 and not _is_latin(letter)]
    latin = len(word) - len(beyond)
    return math.ceil(latin / _LETTERS) + sum(len(letter.encode()) - 1 for letter in beyond)


def _is_latin(letter: str) -> bool:
    return letter <= "\u024f"


def _spelled(text: str, spans: Sequence[Span]) -> float:
    """Return the share of letters in words that have at least as many tokens as letters."""
    starts = [start for start, end in spans if end > start]
    letters = spelled = position = 0
    for word in _WORD.finditer(text):
        while position < len(starts) and starts[position] < word.start():
            position += 1
        first = position
        while position < len(starts) and starts[position] < word.end():
            position += 1
        letters += len(word[0])
        spelled += len(word[0]) if position - first >= len(word[0]) else 0
    return spelled / letters if letters else 0.0
