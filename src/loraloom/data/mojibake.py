"""Text that was once read in the wrong encoding: recognised, and what it must have been."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

REPLACED: Final = "\ufffd"
"""What a program writes where it could not read a letter."""

# How Korean and European text usually comes to harm: written in the second, read in the first.
_WAYS: Final = (
    ("cp1252", "utf-8"),
    ("latin-1", "utf-8"),
    ("cp1254", "utf-8"),
    ("cp949", "utf-8"),
    ("cp1252", "cp949"),
)
_LEAST: Final = 2
_MOST_LOST: Final = 1 / 3
# Read as cp949, UTF-8 loses most of its letters; the Hangul that is left is no accident even so.
_MOST_LOST_HANGUL: Final = 3 / 4

# Words of question marks alone, which are what is left of letters that some code page lacked.
_QUESTIONS: Final = re.compile(r"(?<![^\s,.])\?{2,}(?![^\s,.])")
_MOST_CHINESE: Final = 1 / 4


@dataclass(frozen=True, kw_only=True)
class Mended:
    """What a garbled text must have been, and the share of its letters that are lost for good.

    It was written as `written` and read as `read`, names of encodings.
    """

    text: str
    lost: float
    written: str
    read: str


def mend(text: str) -> Mended | None:
    """Return what a garbled text must have been, None for one that does not look garbled.

    Letters that turn back into valid UTF-8, or into everyday Korean in cp949, are no accident:
    by chance a run of bytes is neither. Bytes that were dropped on the way are lost.
    """
    if text.isascii():
        return None
    found = (_mended(text, read, written) for read, written in _WAYS)
    return min(filter(None, found), key=lambda mended: mended.lost, default=None)


def damage(text: str) -> float:
    """Return the share of letters beyond ASCII that some program gave up on, lost for good."""
    questions = sum(map(len, _QUESTIONS.findall(text)))
    beyond = sum(not letter.isascii() for letter in text) + questions
    return (text.count(REPLACED) + questions) / beyond if beyond else 0.0


def is_korean(text: str) -> bool:
    """Tell whether text that was read as cp949 is likely to be Korean.

    Japanese and Chinese bytes are often valid there too, and come out as rare syllables or as
    Chinese letters.
    """
    beyond = [letter for letter in text if not letter.isascii() and letter.isalpha()]
    chinese = sum("\u4e00" <= letter <= "\u9fff" or letter >= "\uf900" for letter in beyond)
    everyday = sum(_is_everyday(letter) or "ㄱ" <= letter <= "ㅣ" for letter in beyond)
    return everyday >= len(beyond) / 2 and chinese <= _MOST_CHINESE * len(beyond)


def _mended(text: str, read: str, written: str) -> Mended | None:
    data = _bytes(text, read)
    if data is None:
        return None
    # What is left of one letter may be several bytes that are none.
    again = re.sub(f"{REPLACED}+", REPLACED, data.decode(written, errors="replace"))
    lost = again.count(REPLACED)
    # Bytes of Korean may be Latin letters of two bytes by chance, but hardly letters of three.
    least = "\u0800" if read == "cp949" else "\x80"
    good = sum(letter >= least for letter in again) - lost
    most_lost = _MOST_LOST_HANGUL if read == "cp949" else _MOST_LOST
    if good < _LEAST or lost > most_lost * (good + lost):
        return None
    if written == "cp949" and (lost or not _is_everyday_korean(again)):
        return None
    return Mended(text=again, lost=lost / (good + lost), written=written, read=read)


def _bytes(text: str, codec: str) -> bytes | None:
    """Return the bytes that a text was read from; None if one of its letters was no such byte."""
    data = bytearray()
    for letter in text:
        try:
            data += letter.encode(codec)
        except UnicodeEncodeError:
            # Bytes that the code page leaves open are read as controls of the same number.
            if letter == REPLACED:
                data.append(0xFF)
            elif codec != "cp949" and 0x80 <= ord(letter) < 0xA0:
                data.append(ord(letter))
            else:
                return None
    return bytes(data)


def _is_everyday_korean(text: str) -> bool:
    """Tell whether all letters beyond ASCII are among the 2350 syllables of KS X 1001."""
    return all(_is_everyday(letter) for letter in text if not letter.isascii())


def _is_everyday(letter: str) -> bool:
    return "가" <= letter <= "힣" and min(letter.encode("cp949")) >= 0xA1
