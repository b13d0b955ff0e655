"""Caption files: encodings that people have, and those that nobody can read."""

from __future__ import annotations

import pytest

from loraloom.data.caption_files import read_caption
from loraloom.data.scan import scan


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
