"""The prompt language, by vectors read from the web UI's own code."""

from __future__ import annotations

import pytest

from loraloom.errors import UsageError
from loraloom.generation.prompt import LoraTag, negative_notices, parse_prompt


@pytest.mark.parametrize(
    ("tag", "text_encoder", "unet"),
    [
        ("<lora:x>", 1, 1),
        ("<lora:x:.7>", 0.7, 0.7),
        ("<lora:x:.7:.5>", 0.7, 0.5),
        ("<lora:x:te=0>", 0, 0),
        ("<lora:x:unet=.5>", 1, 0.5),
        ("<lora:x:.7:unet=.2>", 0.7, 0.2),
        ("<lora:x:te=.3:.9>", 0.3, 0.3),
        ("<lora:x:.9:.8:te=.3>", 0.3, 0.8),
        ("<lora:x:-0.5>", -0.5, -0.5),
        ("<lora:x:>", 1, 1),
        ("<lyco:x:.7>", 0.7, 0.7),
    ],
)
def test_strengths(tag: str, text_encoder: float, unet: float) -> None:
    parsed = parse_prompt(tag)
    assert parsed.loras == (LoraTag("x", text_encoder, unet),)
    assert parsed.notices == ()


def test_text_keeps_its_blanks() -> None:
    assert parse_prompt("a <lora:x:1> cat, <lora:y>").text == "a  cat, "


def test_tags_without_closing_or_name_are_text() -> None:
    for text in ("<lora:x", "lora:x>", "a < b > c", "<lora:>", "< lora:x>"):
        assert parse_prompt(text) == parse_prompt(text).__class__(text)


def test_same_lora_twice_adds_up() -> None:
    parsed = parse_prompt("<lora:x:.25:.5> a <lora:y> b <lyco:x:.5:-1>")
    assert parsed.loras == (LoraTag("x", 0.75, -0.5), LoraTag("y"))


def test_korean_names() -> None:
    assert parse_prompt("<lora:수채화 풍:0.8>").loras == (LoraTag("수채화 풍", 0.8, 0.8),)


@pytest.mark.parametrize("bad", ["abc", "1,5", "nan", "inf", "0.8 0.5"])
@pytest.mark.parametrize("form", ["<lora:x:{}>", "<lora:x:1:{}>", "<lora:x:te={}>"])
def test_bad_strength_names_the_tag(form: str, bad: str) -> None:
    tag = form.format(bad)
    with pytest.raises(UsageError) as caught:
        parse_prompt(f"a {tag} b")
    assert caught.value.exit_code == 2
    assert tag in caught.value.message("en")
    assert tag in caught.value.message("ko")


def test_tag_without_name() -> None:
    for tag in ("<lora:te=1>", "<lora: :1>", "<lora::0.8>"):
        with pytest.raises(UsageError, match=tag):
            parse_prompt(tag)


def test_what_has_no_effect_is_said() -> None:
    parsed = parse_prompt("<lora:x:1:1:8> <lora:y:lbw=ALL:0.5> <lora:z:dyn=4>")
    assert [tag.name for tag in parsed.loras] == ["x", "y", "z"]
    assert parsed.loras[1] == LoraTag("y", 0.5, 0.5)
    assert [notice.details["key"] for notice in parsed.notices] == ["dyn", "lbw", "dyn"]
    assert {notice.code for notice in parsed.notices} == {"prompt.ignored_argument"}


def test_other_tags_are_taken_out_and_said() -> None:
    parsed = parse_prompt("a<hypernet:h:1> b<Lora:x:1>")
    assert parsed.text == "a b"
    assert parsed.loras == ()
    assert [notice.details["tag"] for notice in parsed.notices] == ["<hypernet:h:1>", "<Lora:x:1>"]


def test_emphasis_is_said() -> None:
    assert [n.code for n in parse_prompt("a (red:1.2) car").notices] == ["prompt.emphasis"]
    assert parse_prompt("a (red) car: 1.2").notices == ()


def test_negative_prompts_hold_no_tags() -> None:
    assert [n.details for n in negative_notices("ugly <lora:x:1>")] == [{"tag": "<lora:x:1>"}]
    assert negative_notices("ugly, blurry") == ()
