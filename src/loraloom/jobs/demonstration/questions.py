"""What the demonstration asks for when it measures, and what the right answers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, final

from loraloom.generation.request import SamplingSettings
from loraloom.jobs.demonstration.datasets import UNSEEN
from loraloom.playground.captions import plain_prompt
from loraloom.playground.scenes import BACKGROUNDS, COLOURS, OBJECTS, is_held_out

SETTINGS: Final = SamplingSettings(
    sampler="DPM++ 2M", steps=15, cfg_scale=5.0, width=128, height=128
)
"""How every measured picture is sampled; chosen before anything was measured."""

WEIGHTS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_FIRST_SWEEP_SEED: Final = 1000


@final
@dataclass(frozen=True)
class Question:
    """A prompt whose truth is known, and the seed it is drawn with."""

    prompt: str
    seed: int
    asked: Mapping[str, str]


def base_questions(count: int) -> Sequence[Question]:
    """Return prompts of the combinations that the base was never shown, seeds from 0 on."""
    triples = [triple for triple in product(OBJECTS, COLOURS, BACKGROUNDS) if is_held_out(*triple)]
    # A stride that shares no factor with the number of triples visits all of them, well mixed.
    return [_question(triples[(seed * 37) % len(triples)], seed, "") for seed in range(count)]


def style_questions(trigger: str, count: int) -> Sequence[Question]:
    """Return prompts with a trigger, of objects that no training folder shows."""
    triples = list(product(COLOURS, BACKGROUNDS, UNSEEN))
    numbers = range(count)
    chosen = [triples[(number * 83) % len(triples)] for number in numbers]
    return [
        _question((thing, colour, background), _FIRST_SWEEP_SEED + number, f"{trigger}, ")
        for number, (colour, background, thing) in zip(numbers, chosen, strict=True)
    ]


def _question(triple: tuple[str, str, str], seed: int, prefix: str) -> Question:
    thing, colour, background = triple
    return Question(
        prefix + plain_prompt(thing, colour, background),
        seed,
        {"object": thing, "colour": colour, "background": background},
    )
