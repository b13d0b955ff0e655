"""Caption files: encodings that people have, and those that nobody can read."""

from __future__ import annotations

import unicodedata

import pytest

from loraloom.data.caption_files import read_caption
from loraloom.data.captions import find_captions
from loraloom.data.folders import find_subsets
from loraloom.data.scan import scan
from loraloom.data.source import Source


@pytest.mark.parametrize(
    ("codec", "encoding"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("cp949", "cp949"),
    ],
)
def test_the_encodings_of_korean_captions_are_told_apart(tmp_path, codec, encoding):
    path = tmp_path / "a.txt"
    path.write_bytes("들판의 빨간 공, 뷁\r\n".encode(codec))
    caption = read_caption(path)
    assert (caption.lines, caption.encoding) == (("들판의 빨간 공, 뷁",), encoding)
    assert caption.mended is None


def test_what_could_be_utf_8_or_cp949_is_utf_8(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("a café".encode())
    assert "a café".encode().decode("cp949") != "a café"
    assert read_caption(path).lines == ("a café",)


def test_big_endian_utf_16_is_read(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xfe\xff" + "공".encode("utf-16-be"))
    assert read_caption(path).lines == ("공",)


@pytest.mark.parametrize(
    "content",
    [
        "a ball".encode("utf-16-le"),
        "a ball".encode("utf-32"),
        b"\xff\xfe\x00",
        "café".encode("latin-1"),
        b"\x89PNG\r\n\x1a\n\x00\x00",
    ],
)
def test_what_is_no_text_is_refused(tmp_path, refuses, content):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with refuses("dataset.caption_undecodable", "a.txt", "UTF-8"):
        read_caption(path)


def test_a_file_that_cannot_be_opened_is_refused(tmp_path, refuses):
    with refuses("dataset.caption_unreadable", "a.txt"):
        read_caption(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("codec", "code", "severity"),
    [
        ("cp949", "dataset.caption_encoding", "warning"),
        ("utf-16", "dataset.caption_utf16", "warning"),
        ("utf-8-sig", "dataset.caption_mark", "note"),
    ],
)
def test_an_encoding_that_others_cannot_read_is_told(tree, codec, code, severity):
    found = scan(tree({"a.png": None, "a.txt": "빨간 공, a red ball".encode(codec)}))
    assert [e.caption for e in found.examples] == ["빨간 공, a red ball"]
    assert [(f.code, f.severity, f.files) for f in found.findings] == [(code, severity, ("a.txt",))]


@pytest.mark.parametrize("text", [", ,", "\u200b", " \n\u200b , .\n", "…", "\ufeff\u2060"])
def test_marks_and_letters_without_width_are_no_caption(tmp_path, refuses, text):
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    with refuses("dataset.caption_empty", "a.txt"):
        read_caption(path)


def test_lines_that_say_nothing_are_blank(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("---\na cat\n\u200b\n♡\n?\n", encoding="utf-8")
    assert read_caption(path).lines == ("a cat", "♡", "?")


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("猫と青い船、夜の空", "cp932"),
        ("一只猫和蓝的船", "gb18030"),
        ("미술관의 그림", "cp949"),
        ("미술(美術)", "cp949"),
    ],
)
def test_bytes_of_several_readings_are_not_guessed(tmp_path, refuses, text, codec):
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(codec))
    path.read_bytes().decode("cp949")  # it is valid there
    if text.isprintable() and all("가" <= letter <= "힣" or letter == " " for letter in text):
        assert read_caption(path).encoding == "cp949"
    else:
        with refuses("dataset.caption_ambiguous", "a.txt", f'{codec} "{text}"', "cp949"):
            read_caption(path)
    told = read_caption(path, codec)
    assert (told.lines, told.encoding) == ((text,), codec)


def test_an_encoding_that_is_told_is_for_what_is_not_utf_8(tree):
    root = tree({"a.png": None, "a.txt": "고양이, a cat", "b.png": None})
    (root / "b.txt").write_bytes("青い猫".encode("cp932"))
    (subset,), _ = find_subsets(Source(folder=root, caption_encoding="cp932"))
    found = find_captions(subset, extensions=(".txt",), trigger="")
    assert [caption.text for caption in found.values()] == ["고양이, a cat", "青い猫"]


def test_names_that_differ_in_composition_alone_have_their_own_captions(tree):
    name = "강아지"
    apart = unicodedata.normalize("NFD", name)
    texts = {f"{name}.txt": "composed", f"{apart}.txt": "apart", f"{apart}.caption": "more"}
    found = scan(tree({f"{name}.png": None, f"{apart}.png": None, **texts}))
    said = {example.path.stem: example.caption for example in found.examples}
    assert said == {name: "composed", apart: "apart"}
    told = {each.code: each for each in found.findings}
    assert set(told) == {"dataset.names_one", "dataset.names_apart", "dataset.caption_rivals"}
    assert (
        told["dataset.caption_rivals"].files,
        told["dataset.caption_rivals"].details["used"],
    ) == (
        (f"{name}.png",),
        ".txt",
    )


def test_one_file_of_two_such_names_captions_both_and_that_is_told(tree):
    name = "강아지"
    apart = unicodedata.normalize("NFD", name)
    found = scan(tree({f"{name}.png": None, f"{apart}.png": None, f"{name}.txt": "a dog"}))
    assert [example.caption for example in found.examples] == ["a dog", "a dog"]
    assert "dataset.caption_shared" in {each.code for each in found.findings}


def test_two_files_of_one_picture_are_told_apart_by_how_they_are_composed(tree):
    name = "강아지"
    apart = unicodedata.normalize("NFD", name)
    texts = {f"{name}.txt": "composed", f"{apart}.txt": "apart"}
    found = scan(tree({f"{apart}.png": None, **texts}))
    assert [example.caption for example in found.examples] == ["apart"]
    (told,) = [each for each in found.findings if each.code == "dataset.caption_rivals"]
    assert (told.details["used"], told.details["ignored"]) == (".txt (NFD)", ".txt (NFC)")
