"""What a text encoder makes of a prompt: by the playground's own tokenizer, and estimated."""

from __future__ import annotations

import pytest

from loraloom.data.tokens import LIMIT, estimate, tokens_of
from loraloom.jobs.dataset.aim import aimed_base


@pytest.fixture(scope="module")
def base():
    return aimed_base("playground")


def test_a_base_tells_its_size_and_its_limit_without_its_weights(base):
    assert (base.resolution, base.token_limit) == (128, 75)
    assert base.geometry.resolution_step == 32


@pytest.mark.parametrize("prompt", ["", "a red ball", "mydog, a drawing of 12 cats!", "고양이 cat"])
def test_tokens_are_counted_as_the_model_counts_them(base, prompt):
    ids = base.window.tokenizer(prompt)["input_ids"]
    assert base.tokens()(prompt).count == len(ids) - 2


def test_what_is_cut_is_what_the_encoder_does_not_see(base):
    prompt = ", ".join(["a red ball"] * 30)
    tokens = base.tokens()(prompt)
    seen = prompt.removesuffix(tokens.cut)
    assert tokens.cut
    assert base.tokens()(seen).count == LIMIT
    assert base.tokens()(seen).cut == ""
    assert base.tokens()(prompt).count == 30 * 4 - 1


def test_spelling_out_is_told_by_the_tokens_alone():
    # "cat" is one token, "xyz" one for each letter, "한국" three for each syllable.
    text = "cat xyz 한국"
    spans = [(0, 3), (4, 5), (5, 6), (6, 7), *[(8, 9)] * 3, *[(9, 10)] * 3]
    assert tokens_of(text, spans).spelled == pytest.approx((3 + 2) / 8)
    assert tokens_of("", []).spelled == 0


@pytest.mark.parametrize(
    ("prompt", "count"),
    [
        # Counted by CLIP's own tokenizer (openai/CLIP, bpe_simple_vocab_16e6).
        ("a photo of a cat", 5),
        ("sks_character, 1girl, red hair, green eyes, smiling, portrait, white background", 19),
        ("anistyle, a watercolour painting of a mountain", 9),
        ("1girl, solo, long_hair, looking_at_viewer", 14),
        ("고양이 한 마리가 들판에 있다", 22),
        ("猫が座っている", 14),
        ("Ёлка красный дом", 17),
        ("le chat noir est assis sur le tapis rouge dans le jardin", 14),
    ],
)
def test_the_estimate_is_near_what_clip_counts(prompt, count):
    assert estimate(prompt).count == pytest.approx(count, rel=0.35)


@pytest.mark.parametrize(
    ("prompt", "is_spelled"),
    [
        ("a red ball on the grass", False),
        ("café naïve, über", False),
        ("고양이 한 마리", True),
        ("Ёлка красный дом", True),
        ("猫が座っている", True),
    ],
)
def test_the_estimate_knows_which_scripts_clip_spells_out(prompt, is_spelled):
    assert (estimate(prompt).spelled >= 0.5) == is_spelled
