"""Text read in the wrong encoding: recognised, mended without loss where none happened."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loraloom.data.mojibake import damage, mend

# Every way in which Korean text usually comes to harm: what it was written in, and read in.
WAYS = [
    ("utf-8", "latin-1"),
    ("utf-8", "cp1252"),
    ("utf-8", "cp1254"),
    ("utf-8", "cp949"),
    ("cp949", "latin-1"),
    ("cp949", "cp1252"),
]

# Some of the 2350 syllables of KS X 1001, which everyday Korean is written with.
SYLLABLES = st.sampled_from(
    [bytes((row, cell)).decode("euc-kr") for row in range(0xB0, 0xC9) for cell in range(0xA1, 0xFF)]
)


@pytest.mark.parametrize(("written", "read"), WAYS)
@settings(max_examples=25)
@given(words=st.lists(st.text(SYLLABLES, min_size=2, max_size=4), min_size=1, max_size=4))
def test_what_lost_nothing_comes_back_whole(written, read, words):
    text = "a photo of " + ", ".join(words)
    try:
        garbled = text.encode(written).decode(read)
    except UnicodeDecodeError:
        return  # this reader would have given up, or dropped bytes
    mended = mend(garbled)
    assert mended is not None
    assert (mended.text, mended.lost) == (text, 0.0)


@pytest.mark.parametrize(("written", "read"), [("utf-8", "cp1252"), ("utf-8", "cp1254")])
def test_what_lost_bytes_tells_how_much(written, read):
    garbled = "고양이 한 마리".encode(written).decode(read, errors="replace")
    mended = mend(garbled)
    assert mended is not None
    # One of six syllables has a byte that these code pages leave open.
    assert mended.text.replace("\ufffd", "?") == "고양? 한 마리"
    assert mended.lost == pytest.approx(1 / 6)
    dropped = mend("고양이 한 마리".encode(written).decode(read, errors="ignore"))
    assert dropped is not None
    assert dropped.lost > 0


@pytest.mark.parametrize(
    "text",
    [
        "a photo of a cat",
        "café naïve façade",
        "Ünïcödé Größe, öäü üöä ßß",
        "El niño está aquí, ¿qué?",
        "고양이 한 마리, 뷁",
        "猫が座っている",
        "“quoted” — dash",
        "ÀÉÎÕÜ ÅÄÖ åäö",
        "Łódź, Čeština, řeč",
        "½ cup ²³ °C",
        "Ёлка красный дом",
    ],
)
def test_sound_text_is_left_alone(text):
    assert mend(text) is None
    assert damage(text) == 0


@given(text=st.text(st.characters(codec="ascii")))
def test_ascii_is_never_garbled(text):
    assert mend(text) is None


def test_letters_that_are_lost_are_counted():
    assert damage("시�지능, a b c") == pytest.approx(1 / 4)


@pytest.mark.parametrize("errors", ["replace", "ignore"])
@pytest.mark.parametrize(
    "text", ["파란 배 위의 고양이", "고양이 사진, 흰 배경", "a cat, 파란 배 위의 고양이"]
)
def test_utf_8_read_as_cp949_is_known_for_what_it_is_though_most_of_it_is_lost(text, errors):
    mended = mend(text.encode().decode("cp949", errors))
    assert mended is not None
    assert (mended.written, mended.read) == ("utf-8", "cp949")
    assert 1 / 3 < mended.lost < 3 / 4
    assert "고양" in mended.text


@pytest.mark.parametrize("text", ["화천 호수", "천천히 걷는 청년", "친구의 칼과 책", "카카오 친구"])
def test_everyday_words_whose_bytes_are_latin_letters_are_left_alone(text):
    assert text.encode("cp949").decode("utf-8", "ignore").strip() != ""
    assert mend(text) is None


@pytest.mark.parametrize(
    ("text", "share"),
    [("???? ?? ??", 1), ("cat, ???, 공", 3 / 4), ("what is this?", 0), ("really??", 0), ("?", 0)],
)
def test_words_of_question_marks_are_letters_that_are_lost(text, share):
    assert damage(text) == share
