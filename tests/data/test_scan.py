"""Which pictures of a folder become examples, with which words, and what is refused."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from loraloom.data.scan import scan
from loraloom.errors import DatasetError
from loraloom.text import say


def _captions(found):
    return {example.path.name: example.caption for example in found.examples}


def _findings(found):
    """Return findings by code, after proving that each is worded and says what to do."""
    for finding in found.findings:
        for language, fix in (("en", "\nFix: "), ("ko", "\n해결: ")):
            assert fix in say(finding.code, language, **finding.details)
    assert len({f.code for f in found.findings}) == len(found.findings)
    return {finding.code: finding for finding in found.findings}


def test_a_flat_folder_is_read_in_order_of_names(tree):
    root = tree({"b.png": None, "b.txt": "a dog", "a.JPG": None, "a.TXT": " a cat \n"})
    found = scan(root)
    told = [(f.code, f.severity, f.files) for f in found.findings]
    assert told == [("dataset.names_capital", "note", ("a.JPG",))]
    assert [(e.path.name, e.caption) for e in found.examples] == [
        ("a.JPG", "a cat"),
        ("b.png", "a dog"),
    ]
    first = found.examples[0]
    assert (first.width, first.height, first.repeats, first.subset) == (8, 6, 1, "set")
    assert [e.repeats for e in scan(root, repeats=3).examples] == [3, 3]


def test_sizes_are_those_of_the_upright_picture(tree):
    exif = Image.Exif()
    exif[0x0112] = 6
    root = tree({"a.txt": "a", "b.txt": "b"})
    Image.new("RGB", (8, 6)).save(root / "a.jpg", exif=exif)
    Image.new("RGB", (8, 6)).save(root / "b.png", exif=exif)
    assert [(e.width, e.height) for e in scan(root).examples] == [(6, 8), (6, 8)]


def test_numbered_folders_give_repeats_and_the_words_of_uncaptioned_pictures(tree):
    root = tree(
        {
            "10_sks dog/a.png": None,
            "10_sks dog/b.png": None,
            "10_sks dog/b.txt": "a dog that runs",
            "2_some_words/c.png": None,
        }
    )
    found = scan(root, trigger="ohwx", repeats=7)
    rows = [(e.path.name, e.caption, e.repeats, e.subset) for e in found.examples]
    assert rows == [
        ("a.png", "sks dog", 10, "10_sks dog"),
        ("b.png", "a dog that runs", 10, "10_sks dog"),
        ("c.png", "some_words", 2, "2_some_words"),
    ]
    stood_in = [f for f in found.findings if f.code == "dataset.caption_from_folder"]
    assert [dict(f.details) for f in stood_in] == [
        {"words": "sks dog", "count": 1, "files": "10_sks dog/a.png"},
    ]
    assert {f.severity for f in stood_in} == {"warning"}
    # Where the folder's words caption all of it, that is a way to train and asks for nothing.
    (whole,) = [f for f in found.findings if f.code == "dataset.folder_captions"]
    assert (whole.severity, whole.files) == ("note", ("2_some_words/c.png",))
    assert (whole.details["subset"], whole.details["words"]) == ("2_some_words", "some_words")


def test_the_leaf_of_the_convention_may_be_given_itself(tree, monkeypatch):
    root = tree({"10_sks/a.png": None})
    expected = [("sks", 10, "10_sks")]
    leaf = scan(root / "10_sks")
    assert [(e.caption, e.repeats, e.subset) for e in leaf.examples] == expected
    monkeypatch.chdir(root / "10_sks")
    here = scan(Path("."))
    assert [(e.caption, e.repeats, e.subset) for e in here.examples] == expected


def test_a_year_is_no_number_of_repeats(tree, refuses):
    root = tree({"2023/a.png": None, "2023/a.txt": "a", "0_off/b.png": None, "0_off/b.txt": "b"})
    with refuses("dataset.folder_above", "2023", "0_off"):
        scan(root)
    assert [e.repeats for e in scan(root / "2023").examples] == [1]


def test_what_is_left_out_is_told(tree):
    root = tree(
        {
            "1_a/a.png": None,
            "1_a/a.txt": "a",
            "1_a/phone.HEIC": b"",
            "1_b/readme.md": "no picture",
            "loose.png": None,
            "other/x.png": None,
            "notes/x.txt": "nothing to see",
            "metadata.jsonl": "",
            ".ipynb_checkpoints/y.png": None,
            "1_a/._a.png": b"resource fork",
        }
    )
    found = scan(root)
    assert _captions(found) == {"a.png": "a"}
    findings = _findings(found)
    assert {code: f.details["files"] for code, f in findings.items()} == {
        "dataset.pictures_beside": "loose.png",
        "dataset.metadata_beside": "metadata.jsonl",
        "dataset.folders_empty": "1_b",
        "dataset.folders_left_out": "other: 1",
        "dataset.pictures_left_out": "1_a/phone.HEIC",
    }


def test_findings_count_all_and_name_a_few(tree):
    root = tree({f"{i}.png": None for i in range(5)})
    (finding,) = scan(root, trigger="sks").findings
    assert finding.code == "dataset.caption_from_trigger"
    assert finding.details == {"trigger": "sks", "count": 5, "files": "0.png, 1.png, 2.png, …"}


def test_one_of_two_caption_files_is_used_and_named(tree):
    root = tree({"a.png": None, "a.txt": "from txt", "a.caption": "from caption"})
    found = scan(root)
    assert _captions(found) == {"a.png": "from txt"}
    details = _findings(found)["dataset.caption_rivals"].details
    assert details == {"used": ".txt", "ignored": ".caption", "count": 1, "files": "a.png"}


@pytest.mark.parametrize("extension", ["caption", ".caption", ".CAPTION"])
def test_the_asked_extension_wins(tree, extension):
    root = tree({"a.png": None, "a.txt": "from txt", "a.caption": "from caption"})
    found = scan(root, caption_extension=extension)
    assert _captions(found) == {"a.png": "from caption"}
    assert found.findings == ()


def test_an_extension_that_matches_nothing_is_refused_where_others_do(tree, refuses):
    root = tree({"10_sks/a.png": None, "10_sks/a.txt": "a"})
    with refuses("dataset.caption_extension_absent", "set", ".caption", ".txt"):
        scan(root, caption_extension=".caption")


@pytest.mark.parametrize("extension", ["", ".", ".png"])
def test_an_extension_that_is_none_is_refused(tree, refuses, extension):
    root = tree({"a.png": None, "a.txt": "a"})
    with refuses("dataset.caption_extension_invalid", repr(extension), exit_code=2):
        scan(root, caption_extension=extension)


def test_repeats_below_one_are_refused(tree, refuses):
    root = tree({"a.png": None, "a.txt": "a"})
    with refuses("dataset.repeats", "0", exit_code=2):
        scan(root, repeats=0)


def test_stems_pair_however_unicode_is_composed(tree):
    taken_apart = unicodedata.normalize("NFD", "고양이")
    root = tree({f"{taken_apart}.png": None, "고양이.txt": "고양이 한 마리", "나비.v2.png": None})
    (root / unicodedata.normalize("NFD", "나비.v2.txt")).write_text(
        unicodedata.normalize("NFD", "나비"), encoding="utf-8"
    )
    assert [e.caption for e in scan(root).examples] == ["고양이 한 마리", "나비"]


def test_folder_words_are_composed(tree):
    root = tree({unicodedata.normalize("NFD", "3_고양이") + "/a.png": None})
    assert [(e.caption, e.repeats) for e in scan(root).examples] == [("고양이", 3)]


def test_a_missing_caption_is_refused_and_named(tree, refuses):
    root = tree({"a.png": None, "a.txt": "a", "b.png": None, "c.png": None})
    with refuses("dataset.caption_missing", "b.png, c.png", "2", "3", "b.txt", "--trigger"):
        scan(root)


def test_the_trigger_stands_in_for_missing_captions_only(tree):
    root = tree({"a.png": None, "a.txt": "a dog", "b.png": None})
    found = scan(root, trigger=" sks ")
    assert _captions(found) == {"a.png": "a dog", "b.png": "sks"}
    assert _findings(found)["dataset.caption_from_trigger"].details["files"] == "b.png"


@pytest.mark.parametrize("folder", ["", "10_sks/"])
@pytest.mark.parametrize("content", ["", " \n\t\n", "\ufeff"])
def test_an_empty_caption_is_refused_even_where_others_could_stand_in(
    tree, refuses, folder, content
):
    root = tree({f"{folder}a.png": None, f"{folder}a.txt": content})
    with refuses("dataset.caption_empty", "a.txt"):
        scan(root, trigger="sks")


def test_lines_after_the_first_are_told(tree):
    root = tree({"a.png": None, "a.txt": "\n a cat \n\n on a mat\n"})
    found = scan(root)
    assert _captions(found) == {"a.png": "a cat"}
    assert _findings(found)["dataset.caption_lines"].details["files"] == "a.txt"


def test_text_files_without_pictures_are_noted(tree):
    root = tree({"a.png": None, "a.txt": "a", "prompts.txt": "a cat"})
    finding = _findings(scan(root))["dataset.caption_unpaired"]
    assert (finding.severity, finding.details["files"]) == ("note", "prompts.txt")


def test_a_caption_of_two_pictures_is_told(tree):
    root = tree({"a.png": None, "a.jpg": None, "a.txt": "a cat"})
    found = scan(root)
    assert _captions(found) == {"a.jpg": "a cat", "a.png": "a cat"}
    assert _findings(found)["dataset.caption_shared"].details["files"] == "a.txt"


def test_only_the_first_frame_is_used_and_told(tree):
    root = tree({"a.txt": "a"})
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    frames[0].save(root / "a.gif", save_all=True, append_images=frames[1:])
    assert _findings(scan(root))["dataset.picture_animated"].details["files"] == "a.gif"


def test_a_damaged_picture_is_refused_and_named(tree, refuses):
    root = tree({"a.png": None, "a.txt": "a", "b.png": b"no picture", "b.txt": "b"})
    with refuses("dataset.picture_unreadable", "b.png"):
        scan(root)


def test_a_folder_without_pictures_is_refused(tree, refuses):
    root = tree({"readme.md": "hello", "1_empty/x.txt": "x"})
    with refuses("dataset.pictures_missing", "set", ".png"):
        scan(root)


@pytest.mark.parametrize(
    ("picture", "candidate"),
    [
        ("photos/a.png", "photos"),
        ("sets/10_sks/a.png", "sets"),
        ("project/img/10_sks/a.png", "project"),
    ],
)
def test_the_folder_below_is_named(tree, refuses, picture, candidate):
    root = tree({picture: None, "log/x.txt": "x"})
    with refuses("dataset.folder_above", str(root / picture.split(candidate)[0] / candidate)):
        scan(root)


def test_a_near_folder_is_named_as_the_missing_one_was(tree, refuses, monkeypatch):
    monkeypatch.chdir(tree({"pictures/a.png": None, "notes/a.png": None}))
    with pytest.raises(DatasetError) as caught:
        scan(Path("picture"))
    assert caught.value.details == {"folder": "picture", "nearest": "pictures"}
    with refuses("dataset.folder_missing", "nope"):
        scan(Path("nope"))


def test_a_missing_folder_names_its_nearest_sibling(tree, refuses):
    root = tree({"dogs/a.png": None, "horses/a.png": None})
    with refuses("dataset.folder_missing_near", str(root / "dog"), str(root / "dogs")):
        scan(root / "dog")
    with refuses("dataset.folder_missing", "submarines"):
        scan(root / "submarines")
    with refuses("dataset.folder_missing", "x" * 300):
        scan(root / ("x" * 300))
    with refuses("dataset.folder_missing", "nowhere"):
        scan(root / "nowhere" / "dogs")
    with refuses("dataset.folder_is_file", "a.png"):
        scan(root / "dogs" / "a.png")
