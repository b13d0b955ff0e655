"""Infotext: the web UI's form, there and back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraloom.generation.infotext import Infotext, describe
from loraloom.generation.request import SamplingSettings

SETTINGS = SamplingSettings(
    sampler="DPM++ 2M", schedule="Karras", steps=30, cfg_scale=7, width=512, height=768, clip_skip=2
)

# As the web UI reads it: modules/infotext_utils.py.
RE_PARAM = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def test_form() -> None:
    fields = describe(
        SETTINGS,
        1,
        model="v1-5-pruned-emaonly",
        model_hash="6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa",
        lora_hashes={"a": "0123456789abcdef", "b:c,d": "fedcba9876543210"},
    )
    text = Infotext(prompt="cat <lora:a:1>", negative_prompt="ugly", fields=fields)
    prompt, negative, line = str(text).split("\n")
    assert prompt == "cat <lora:a:1>"
    assert negative == "Negative prompt: ugly"
    start, version = line.rsplit(", Version: ", 1)
    assert start == (
        "Steps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.0, Seed: 1, "
        "Size: 512x768, Model hash: 6ce0161689, Model: v1-5-pruned-emaonly, Clip skip: 2, "
        'Lora hashes: "a: 0123456789ab, bcd: fedcba987654"'
    )
    assert re.fullmatch(r"LoraLoom-v\d+\.\d+\.\d+.*", version)


def test_what_is_not_there_is_left_out() -> None:
    plain = SamplingSettings(width=64, height=64)
    fields = describe(plain, 1, model="m")
    assert not {"Clip skip", "Lora hashes", "Model hash"} & set(fields)
    assert "Negative prompt" not in str(Infotext(prompt="a", fields=fields))


def test_there_and_back() -> None:
    fields = describe(SETTINGS, 7, model='odd, "name": 한글', lora_hashes={"수채화": "0" * 64})
    text = Infotext(prompt="first line\nsecond, line", negative_prompt="no\nno", fields=fields)
    again = Infotext.parse(str(text))
    assert again == text
    assert again.lora_hashes == {"수채화": "0" * 12}


def test_text_without_fields_is_all_prompt() -> None:
    assert Infotext.parse("a cat\nSteps: 1, Sampler: x") == Infotext(
        prompt="a cat\nSteps: 1, Sampler: x"
    )
    assert Infotext.parse("a\nNegative prompt: b").negative_prompt == "b"


KEYS = st.from_regex(r"[A-Za-z][A-Za-z /-]{0,8}[A-Za-z]", fullmatch=True)


@given(st.dictionaries(KEYS, st.text(min_size=1), min_size=3))
def test_any_value_survives(fields: dict[str, str]) -> None:
    assert Infotext.parse(str(Infotext(prompt="p", fields=fields))).fields == fields


@given(st.text())
def test_anything_can_be_parsed(text: str) -> None:
    Infotext.parse(text)


@pytest.mark.parametrize("value", ["a, b", "a: b", 'say "x", y', "two\nlines", " blank", '"', ""])
def test_the_web_ui_finds_every_field(value: str) -> None:
    fields = {"Steps": "1", "Seed": "2", "Model": value, "Version": "v"}
    line = str(Infotext(prompt="p", fields=fields)).split("\n")[1]
    assert [key for key, _ in RE_PARAM.findall(line)] == list(fields)
