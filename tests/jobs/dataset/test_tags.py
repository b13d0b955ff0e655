"""Tags edited in files and tables, and taken back byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loraloom.cli.main import main
from loraloom.errors import OutputError, UsageError
from loraloom.events import Examined, Warned
from loraloom.jobs.dataset.options import PlaceOptions
from loraloom.jobs.dataset.tags import TagsOptions, edit_tags
from tests.bad_inputs import blocks

CAPTIONS = {
    "a.txt": b"red, a cat\n",
    "b.txt": b"\xef\xbb\xbfa dog, blurry\r\nsecond, line\r\n",
    "c.txt": "풀밭, red".encode("cp949"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    root.mkdir()
    for number, (name, content) in enumerate(CAPTIONS.items()):
        (root / name).write_bytes(content)
        blocks(number, 16).save((root / name).with_suffix(".png"))
    return root


def _report(folder: Path, **options):
    place = PlaceOptions(folders=(folder,))
    events = list(edit_tags(TagsOptions(place=place, **options)))
    (examined,) = (event for event in events if isinstance(event, Examined))
    return examined.report


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.txt"))}


def test_tags_are_counted(folder):
    report = _report(folder)
    assert report["tags"][0] == {"tag": "red", "count": 2}
    assert (report["captions"], report["changed"]) == (3, [])
    assert _contents(folder) == CAPTIONS


def test_an_edit_is_taken_back_byte_for_byte_and_so_is_the_one_before(folder):
    _report(folder, prepend=("sks",), remove=("blurry",))
    first = _contents(folder)
    assert first == {
        "a.txt": b"sks, red, a cat\n",
        "b.txt": b"sks, a dog\nsks, second, line\n",
        "c.txt": "sks, 풀밭, red\n".encode(),
    }
    report = _report(folder, replace=("red=green",))
    assert [Path(name).name for name in report["changed"]] == ["a.txt", "c.txt"]
    assert _report(folder, undo=True)["undone"]
    assert _contents(folder) == first
    _report(folder, undo=True)
    assert _contents(folder) == CAPTIONS
    assert not (folder / ".loraloom").exists()
    with pytest.raises(UsageError, match="No edit"):
        _report(folder, undo=True)


def test_a_dry_run_changes_nothing_and_tells_what_would_change(folder):
    report = _report(folder, prepend=("sks",), dry_run=True)
    assert len(report["changed"]) == 3
    assert report["tags"][0] == {"tag": "sks", "count": 3}
    assert _contents(folder) == CAPTIONS


def test_what_was_changed_since_is_not_lost(folder):
    _report(folder, prepend=("sks",))
    (folder / "a.txt").write_text("mine")
    before = _contents(folder)
    with pytest.raises(OutputError, match=r"a\.txt"):
        _report(folder, undo=True)
    assert _contents(folder) == before
    _report(folder, undo=True, overwrite=True)
    assert _contents(folder) == CAPTIONS


def test_an_edit_that_was_cut_short_is_taken_back(folder):
    _report(folder, prepend=("sks",))
    # As if the program had been killed before it reached the last file.
    (folder / "c.txt").write_bytes(CAPTIONS["c.txt"])
    _report(folder, undo=True)
    assert _contents(folder) == CAPTIONS


def test_tables_are_edited_in_place(tmp_path):
    rows = (
        '{"file_name": "a.png", "text": "red, a cat", "score": 1}\n'
        '{"file_name": "b.png",   "text": "sks, a dog"}\n'
    )
    table = 'file_name,text,score\na.png,"red, a cat",1\nb.png,"sks, a dog",2\n'
    for name, content in (("metadata.jsonl", rows), ("metadata.csv", table)):
        root = tmp_path / name
        root.mkdir()
        blocks(1, 16).save(root / "a.png")
        blocks(2, 16).save(root / "b.png")
        (root / name).write_text(content, encoding="utf-8")
        _report(root, prepend=("sks",))
        edited = (root / name).read_text(encoding="utf-8").splitlines()
        if name == "metadata.jsonl":
            assert json.loads(edited[0]) == {
                "file_name": "a.png",
                "text": "sks, red, a cat",
                "score": 1,
            }
            assert edited[1] == rows.splitlines()[1]
        else:
            assert edited[1:] == ['a.png,"sks, red, a cat",1', 'b.png,"sks, a dog",2']
        _report(root, undo=True)
        assert (root / name).read_text(encoding="utf-8") == content


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--replace", "red"], "tags.replace_form"),
        (["--add", "a, b"], "tags.one_tag"),
        (["--undo", "--add", "a"], "tags.undo_alone"),
    ],
)
def test_what_makes_no_sense_is_refused(folder, flags, code, capsys):
    assert main(["dataset", "tags", str(folder), "--json", *flags]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code


def test_people_get_a_table(folder, capsys):
    assert main(["dataset", "tags", str(folder), "--add", "good", "--lang", "ko"]) == 0
    shown = capsys.readouterr().out
    assert "good" in shown
    assert "100%" in shown
    assert "파일 3개를 바꿨습니다" in shown
    assert main(["dataset", "tags", str(folder), "--remove", "absent"]) == 0
    assert "No caption had anything to change." in capsys.readouterr().out


def test_captions_are_not_emptied_without_leave(tmp_path):
    for name, text in (("a", "cat, dog"), ("b", "cat"), ("c", "cat\ncat\n")):
        blocks(1).save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    before = _contents(tmp_path)
    with pytest.raises(UsageError) as caught:
        _report(tmp_path, remove=("cat",))
    assert caught.value.code == "tags.would_empty"
    assert caught.value.details == {"count": 2, "files": "b.txt, c.txt"}
    assert _report(tmp_path, remove=("cat",), dry_run=True)["emptied"] == 2
    assert _contents(tmp_path) == before
    # A tag in its place is no empty caption.
    assert _report(tmp_path, remove=("cat",), append=("pet",))["emptied"] == 0
    _report(tmp_path, undo=True)
    assert _report(tmp_path, remove=("cat",), allow_empty=True)["emptied"] == 2
    assert (tmp_path / "b.txt").read_text(encoding="utf-8") == "\n"


def test_a_table_with_rows_that_cannot_be_read_is_told_and_left(tmp_path):
    blocks(1).save(tmp_path / "a.png")
    table = tmp_path / "metadata.jsonl"
    table.write_text('{"file_name": "a.png", "text": "cat"}\n{"file_name": "\\ud800"}\n')
    before = table.read_bytes()
    place = PlaceOptions(folders=(tmp_path,))
    events = list(edit_tags(TagsOptions(place=place, remove=("dog",), prepend=("x",))))
    assert Warned(code="tags.unreadable", details={"file": table}) in events
    assert table.read_bytes() == before
