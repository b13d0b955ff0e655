"""What the captions of a training folder come to, once the text encoder reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from loraloom.data.captions import Origin
from loraloom.data.survey import Survey


@dataclass(frozen=True, kw_only=True)
class Words:
    """How many pictures have a caption from where, and the tokens of their prompts.

    Of a prompt `limit` tokens are seen; `cut` counts those that have more.
    """

    captions: Mapping[Origin, int]
    longest: int
    mean: float
    limit: int
    cut: int


def words_of(survey: Survey) -> Words:
    """Return what the captions of a survey with pictures come to."""
    counts = [each.count for each in survey.tokens]
    return Words(
        captions=Counter(entry.caption.origin for entry in survey.entries if entry.caption.text),
        longest=max(counts),
        mean=sum(counts) / len(counts),
        limit=survey.aim.token_limit,
        cut=sum(bool(each.cut) for each in survey.tokens),
    )
