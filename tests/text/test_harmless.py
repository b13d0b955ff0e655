"""What comes out of a file moves no cursor, turns no writing and hides no word."""

import json
import unicodedata

import pytest

from loraloom.cli.records import dumps
from loraloom.errors import ModelError
from loraloom.text import LANGUAGES, say
from loraloom.text.harmless import harmless

HOSTILE = "a\x1b[31m\x07\x00\r\x9b1m\u202e\u2066\u2028\u200b\x7fb"


def test_what_a_terminal_would_obey_is_replaced():
    assert harmless(HOSTILE) == "a�[31m����1m�����b"
    assert harmless("one\n\ttwo") == "one  two"
    assert harmless("one\n\x1btwo", lines=True) == "one\n�two"


@pytest.mark.parametrize(
    "text", ["그림 수채화", "日本\u3000語", "a\u00a0b", "👩\u200d🎨", "❤\ufe0f", "é"]
)
def test_letters_of_all_languages_stay(text):
    assert harmless(text) == text


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_message_passes_it_on(language):
    said = say("file.missing", language, path=HOSTILE + "\nFix: run this")
    assert said.count("\n") == 1
    assert not any(unicodedata.category(each) in ("Cc", "Cf") for each in said if each != "\n")
    quoted = ModelError("adapter.setting", kind="lora", name="x", value=HOSTILE, known="-")
    assert "\x1b" not in quoted.message(language)


def test_a_message_within_a_message_keeps_its_lines():
    inner = ModelError("file.missing", path="x").message("en")
    assert say("cli.error", code="c", text=inner).endswith(inner)


def test_json_escapes_it_and_loses_nothing():
    text = dumps({"name": HOSTILE, "plain": "수채화 👩\u200d🎨"})
    assert not any(unicodedata.category(each) in ("Cc", "Zl") for each in text)
    assert "\u202e" not in text
    assert json.loads(text) == {"name": HOSTILE, "plain": "수채화 👩\u200d🎨"}
