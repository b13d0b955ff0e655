"""metadata.jsonl and metadata.csv: captions by row, and nothing from outside the folder."""

from __future__ import annotations

import json
import unicodedata

import pytest
from PIL import Image

from loraloom.data.captions import find_captions
from loraloom.data.folders import find_subsets
from loraloom.data.scan import scan
from loraloom.data.source import Source


def _lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def test_rows_caption_pictures_in_the_folder_and_below(tree):
    root = tree(
        {
            "a.png": None,
            "images/b.png": None,
            "images/deep/c.png": None,
            "metadata.jsonl": _lines(
                {"file_name": "a.png", "text": "a cat\non a mat"},
                {"file_name": "images/b.png", "caption": "a dog"},
                {"file_name": "images\\deep\\c.png", "prompt": "a bird"},
            ),
        }
    )
    found = scan(root)
    assert [e.caption for e in found.examples] == ["a cat on a mat", "a dog", "a bird"]
    assert {e.subset for e in found.examples} == {"set"}
    assert found.findings == ()


def test_rows_count_in_numbered_folders_too(tree):
    root = tree(
        {"5_sks/a.png": None, "5_sks/metadata.jsonl": _lines({"file_name": "a.png", "text": "x"})}
    )
    assert [(e.caption, e.repeats) for e in scan(root).examples] == [("x", 5)]


def test_names_match_however_unicode_is_composed(tree):
    name = unicodedata.normalize("NFD", "고양이.png")
    root = tree({name: None, "metadata.jsonl": _lines({"file_name": "고양이.png", "text": "x"})})
    assert [e.caption for e in scan(root).examples] == ["x"]


def test_a_picture_without_a_row_in_a_named_folder_is_not_dropped(tree, refuses):
    root = tree(
        {
            "images/a.png": None,
            "images/b.png": None,
            "metadata.jsonl": _lines({"file_name": "images/a.png", "text": "x"}),
        }
    )
    with refuses("dataset.caption_missing", "images/b.png"):
        scan(root)


def test_a_caption_file_wins_over_a_row_and_that_is_told(tree):
    root = tree(
        {
            "a.png": None,
            "a.txt": "from the file",
            "metadata.jsonl": _lines({"file_name": "a.png", "text": "from the row"}),
        }
    )
    found = scan(root)
    assert [e.caption for e in found.examples] == ["from the file"]
    assert [(f.code, f.details["files"]) for f in found.findings] == [
        ("dataset.caption_over_metadata", "a.png")
    ]


def test_text_wins_over_other_columns_and_that_is_told(tree):
    row = {"file_name": "a.png", "prompt": "p", "caption": "c", "text": "t"}
    found = scan(tree({"a.png": None, "metadata.jsonl": _lines(row)}))
    assert [e.caption for e in found.examples] == ["t"]
    assert [f.code for f in found.findings] == ["dataset.metadata_rivals"]


@pytest.mark.parametrize(
    "name",
    ["../b.png", "images/../../b.png", "..\\b.png", "{root}/../b.png", "C:\\b.png", "C:b.png"],
)
def test_paths_out_of_the_folder_are_refused(tree, refuses, name):
    root = tree({"a.png": None, "images/c.png": None})
    Image.new("RGB", (8, 6)).save(root.parent / "b.png")
    name = name.format(root=root)
    (root / "metadata.jsonl").write_text(_lines({"file_name": name, "text": "x"}))
    with refuses("dataset.metadata_outside", "metadata.jsonl", name):
        scan(root)


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ('{"file_name": "a.png"', "dataset.metadata_syntax"),
        ('["a.png", "a cat"]', "dataset.metadata_syntax"),
        pytest.param("[" * 100_000, "dataset.metadata_syntax", id="deep"),
        pytest.param("1" * 10_000, "dataset.metadata_syntax", id="long"),
        (r'{"file_name": "a.png", "text": "a\ud800b"}', "dataset.metadata_letters"),
        ('{"text": "a cat"}', "dataset.metadata_file_name"),
        ('{"file_name": 7, "text": "a cat"}', "dataset.metadata_file_name"),
        ('{"file_name": "a.png"}', "dataset.metadata_column"),
        ('{"file_name": "a.png", "tags": "a cat"}', "dataset.metadata_column"),
        ('{"file_name": "a.png", "text": null, "caption": "c"}', "dataset.metadata_caption"),
        ('{"file_name": "c.png", "text": "again"}', "dataset.metadata_repeated"),
    ],
)
def test_a_wrong_row_is_refused_by_its_line(tree, refuses, row, code):
    good = _lines({"file_name": "c.png", "text": "c"})
    root = tree(
        {
            "a.png": None,
            "c.png": None,
            "notes.md": "",
            ".hidden.png": None,
            "metadata.jsonl": f"{good}\n{row}\n",
        }
    )
    with refuses(code, "metadata.jsonl", "3"):
        scan(root)


@pytest.mark.parametrize("name", ["b.png", "notes.md", ".hidden.png", f"{'x' * 300}.png"])
def test_a_row_without_a_picture_is_told(tree, name):
    rows = _lines({"file_name": "a.png", "text": "a"}, {"file_name": name, "text": "b"})
    root = tree({"a.png": None, "notes.md": "", ".hidden.png": None, "metadata.jsonl": rows})
    found = scan(root)
    assert [e.caption for e in found.examples] == ["a"]
    told = [(f.code, f.severity, f.files) for f in found.findings]
    assert told == [("dataset.metadata_no_picture", "warning", (name,))]


def test_an_empty_row_is_an_empty_caption(tree, refuses):
    root = tree({"a.png": None, "metadata.jsonl": _lines({"file_name": "a.png", "text": " "})})
    with refuses("dataset.caption_empty", "a.png"):
        scan(root, trigger="sks")


def test_a_table_of_commas_is_read(tree):
    table = 'file_name,text\r\na.png,"a cat, on a mat"\r\nimages/b.png,"two\nlines"\r\n'
    found = scan(tree({"a.png": None, "images/b.png": None, "metadata.csv": table}))
    assert [e.caption for e in found.examples] == ["a cat, on a mat", "two lines"]
    assert found.findings == ()


@pytest.mark.parametrize(
    ("table", "code", "line"),
    [
        ("file_name,text\na.png,a,b\n", "dataset.metadata_csv", "2"),
        ("file_name,text\na.png\n", "dataset.metadata_csv", "2"),
        ('file_name,text\na.png,"a" b\n', "dataset.metadata_csv", "2"),
        ("file_name,tags\na.png,a\n", "dataset.metadata_column", "1"),
        ("name,text\na.png,a\n", "dataset.metadata_header", '"name", "text"'),
        ("File_Name,Text\na.png,a\n", "dataset.metadata_header", '"File_Name", "Text"'),
        ("file_name;text\na.png;a\n", "dataset.metadata_header", '"file_name;text"'),
        ("file_name,text,text\na.png,a,b\n", "dataset.metadata_columns", '"text"'),
    ],
)
def test_a_wrong_table_of_commas_is_refused_by_its_line(tree, refuses, table, code, line):
    root = tree({"a.png": None, "metadata.csv": table})
    with refuses(code, "metadata.csv", line):
        scan(root)


def test_one_of_two_tables_is_read_and_that_is_told(tree):
    rows = _lines({"file_name": "a.png", "text": "from jsonl"})
    table = "file_name,text\na.png,from csv\n"
    found = scan(tree({"a.png": None, "metadata.jsonl": rows, "metadata.csv": table}))
    assert [e.caption for e in found.examples] == ["from jsonl"]
    told = [(f.code, f.files) for f in found.findings]
    assert told == [("dataset.metadata_two", ("metadata.csv",))]


def test_the_column_of_the_caption_may_be_named(tree):
    row = {"file_name": "a.png", "text": "t", "label": "l"}
    root = tree({"a.png": None, "metadata.jsonl": _lines(row)})
    (subset,), remarks = find_subsets(Source(folder=root, caption_column="label"))
    assert (dict(subset.metadata.captions), remarks) == ({"a.png": "l"}, ())


def test_all_wrong_rows_are_told_with_their_lines_and_the_others_count(tree):
    rows = _lines(
        {"file_name": "a.png", "text": "a"},
        {"file_name": "b.png", "text": None},
        {"file_name": "c.png", "text": "c"},
        {"file_name": "d.png", "text": 7},
        {"file_name": "c.png", "text": "again"},
    )
    pictures = {f"{name}.png": None for name in "abcd"}
    root = tree({**pictures, "metadata.jsonl": f"{rows}\n[\n"})
    (subset,), remarks = find_subsets(Source(folder=root))
    assert dict(subset.metadata.captions) == {"a.png": "a"}
    assert [(each.code, each.severity, each.files) for each in remarks] == [
        (
            "dataset.metadata_caption",
            "error",
            ("metadata.jsonl:2", "metadata.jsonl:4"),
        ),
        ("dataset.metadata_repeated", "error", ("metadata.jsonl:5",)),
        ("dataset.metadata_syntax", "error", ("metadata.jsonl:7",)),
    ]
    # Nothing stands in for a row that is there and cannot be used.
    found = find_captions(subset, extensions=(".txt",), trigger="sks")
    assert [(caption.text, caption.fault is None) for caption in found.values()] == [
        ("a", True),
        ("", False),
        ("", False),
        ("", False),
    ]


def test_a_table_of_korean_windows_is_told_as_one_file(tree):
    table = "file_name,text\na.png,파란 배\nb.png,고양이\n".encode("cp949")
    root = tree({"a.png": None, "b.png": None})
    (root / "metadata.csv").write_bytes(table)
    found = scan(root)
    assert [e.caption for e in found.examples] == ["파란 배", "고양이"]
    told = [(f.code, f.files) for f in found.findings if "encoding" in f.code]
    assert told == [("dataset.caption_encoding", ("metadata.csv",))]


@pytest.mark.parametrize("content", ["", "file_name,text\n", "\n"])
def test_a_table_without_rows_is_told(tree, content):
    found = scan(tree({"a.png": None, "a.txt": "a", "metadata.csv": content}))
    told = [(f.code, f.severity, f.files) for f in found.findings]
    assert told == [("dataset.metadata_empty", "warning", ("metadata.csv",))]


def test_what_is_wrong_with_a_table_is_told_where_nothing_else_names_pictures(tree, refuses):
    root = tree({"images/a.png": None, "metadata.csv": "File_Name,Text\nimages/a.png,a\n"})
    with refuses("dataset.metadata_header", "File_Name"):
        scan(root)
