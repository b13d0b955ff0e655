"""Copies that are cut short: nothing half-written is left, and the same command takes them up."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from loraloom.cli.main import main
from loraloom.jobs.dataset.fix import RECORD, REPORT
from tests.bad_inputs import blocks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write pictures with captions, one of them in cp949, and one lying on its side."""
    root = tmp_path / "set"
    root.mkdir()
    for number in range(4):
        image = blocks(number, 512)
        exif = image.getexif()
        exif[0x0112] = 6 if number == 2 else 1
        image.save(root / f"{number}.JPG", exif=exif)
        (root / f"{number}.txt").write_bytes("고양이, a cat".encode("cp949"))
    return root


def _contents(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def _told(capsys):
    return json.loads(capsys.readouterr().out)


COMMANDS = {
    "check": (["check", "{set}", "--fix", "{out}", "--json"], REPORT),
    "split": (["split", "{set}", "--output_dir", "{out}", "--json"], None),
}


def _words(name: str, folder: Path, out: Path) -> list[str]:
    words, _ = COMMANDS[name]
    return ["dataset", *(word.format(set=folder, out=out) for word in words)]


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_disk_that_gets_full_leaves_only_whole_files(name, folder, tmp_path, monkeypatch, capsys):
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert main(_words(name, folder, whole)) == 0
    expected = _contents(whole)
    write = Path.write_bytes
    left = [3]

    def full(path: Path, data: bytes) -> int:
        left[0] -= 1
        if left[0] < 0:
            write(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    capsys.readouterr()
    assert main(_words(name, folder, out)) == 1
    assert _told(capsys)["error"]["code"] == "output.no_space"
    monkeypatch.undo()
    left_there = _contents(out)
    record = left_there.pop(RECORD)
    assert record
    assert len(left_there) == 3
    assert left_there.items() <= expected.items()
    # With room again, the same command takes it up.
    assert main(_words(name, folder, out)) == 0
    assert RECORD not in _contents(out)
    assert set(_contents(out)) == set(expected)
    assert {n: c for n, c in _contents(out).items() if n != REPORT} == {
        n: c for n, c in expected.items() if n != REPORT
    }


KILLED = """
import os, signal, sys
replace, left = os.replace, [5]

def kill(*paths):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(*paths)

os.replace = kill
from loraloom.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_copy_that_was_killed_is_taken_up(name, folder, tmp_path, capsys):
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert main(_words(name, folder, whole)) == 0
    expected = _contents(whole)
    words = [sys.executable, "-c", KILLED, *_words(name, folder, out)]
    assert subprocess.run(words, capture_output=True, env={**os.environ}).returncode == -9
    halfway = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.suffix != ".part"}
    final = {n: c for n, c in _contents(out).items() if n != RECORD and not n.endswith(".part")}
    assert len(final) == 4
    assert final.items() <= expected.items()
    # Another command is no continuation of it.
    capsys.readouterr()
    assert main(["dataset", "check", str(tmp_path / "whole"), f"--fix={out}", "--json"]) == 1
    assert _told(capsys)["error"]["code"] == "fix.not_empty"
    assert main(_words(name, folder, out)) == 0
    assert set(_contents(out)) == set(expected)
    for path in final:
        assert (out / path).stat().st_mtime_ns == halfway[out / path]
    assert main(_words(name, folder, out)) == 1  # what is whole is not written again


def test_names_that_are_no_utf_8_are_told_and_written_in_letters(folder, tmp_path, capsys):
    names = {"고양이".encode("cp949"): "고양이", b"\xff\xfe\x80": "%FF%FE%80"}
    for number, raw in enumerate(names):
        path = os.fsencode(folder) + b"/" + raw
        try:
            Path(os.fsdecode(path + b".png")).touch()
        except OSError:
            pytest.skip("this file system has no such names")
        blocks(20 + number).save(os.fsdecode(path + b".png"))
        Path(os.fsdecode(path + b".txt")).write_text("a cat", encoding="utf-8")
    out = tmp_path / "out"
    assert main(_words("check", folder, out)) == 0
    (found,) = [f for f in _told(capsys)["findings"] if f["code"] == "dataset.names_bytes"]
    assert set(found["files"]) == {f"{name}.png" for name in names.values()}
    written = {path.name for path in out.iterdir()}
    assert {f"{name}{end}" for name in names.values() for end in (".png", ".txt")} <= written
    assert main(["dataset", "check", str(out), "--json"]) == 0
    assert "dataset.names_bytes" not in {f["code"] for f in _told(capsys)["findings"]}
    parts = tmp_path / "parts"
    assert main(_words("split", folder, parts)) == 0
    assert {path.stem for path in parts.rglob("*.png")} == set(names.values())
    data = tmp_path / "data"
    assert main(["preprocess", f"a={folder}", f"--output_dir={data}", "--json"]) == 0
    assert {f"{name}.png" for name in names.values()} <= {path.name for path in data.rglob("*.png")}


ROW = '{"file_name": "%s.png", "text": "%s"}\n'


@pytest.mark.parametrize(
    ("file", "table", "left_out", "code"),
    [
        ("metadata.csv", "file_name;text\n0.png;a\n", "012", "metadata_header"),
        ("metadata.csv", "file_name,text,text\n0.png,a,b\n", "012", "metadata_columns"),
        ("metadata.csv", "file_name,words\n0.png,a\n", "012", "metadata_column"),
        # A row with a cell too many or too few names its picture all the same, also a second time.
        ("metadata.csv", "file_name,text\n0.png,a,b\n1.png\n", "01", "metadata_csv"),
        ("metadata.csv", "file_name,text\n0.png,a\n0.png,a,b\n", "0", "metadata_csv"),
        # The cells before it are moved: whose row it is cannot be told.
        ("metadata.csv", "text,file_name\na,b,0.png\nc,1.png\n", "02", "metadata_csv"),
        ("metadata.jsonl", ROW % (0, "a\\ud800") + ROW % (1, "b"), "0", "metadata_letters"),
        ("metadata.jsonl", "[\n" + ROW % (1, "b"), "02", "metadata_syntax"),
        ("metadata.jsonl", ROW % ("/old/set/0", "a") + ROW % (1, "b"), "02", "metadata_outside"),
    ],
)
def test_nothing_stands_in_for_captions_in_rows_that_cannot_be_read(
    file, table, left_out, code, tmp_path, capsys
):
    root, out = tmp_path / "set", tmp_path / "out"
    root.mkdir()
    for number in range(4):
        blocks(number, 512).save(root / f"{number}.png")
    (root / "3.txt").write_text("a caption of its own", encoding="utf-8")
    (root / file).write_text(table, encoding="utf-8")
    words = ["dataset", "check", str(root), "--trigger=zz", f"--fix={out}", "--json"]
    assert main(words) == 3
    report = json.loads((out / REPORT).read_text(encoding="utf-8"))
    assert report["left_out"] == [
        {"file": f"{number}.png", "code": f"dataset.{code}"} for number in left_out
    ]
    assert set(report["why"]) == {f"dataset.{code}"}
    kept = {path.stem for path in out.glob("*.png")}
    assert kept == set("0123") - set(left_out)
    assert (out / "3.txt").read_text(encoding="utf-8") == "a caption of its own\n"
