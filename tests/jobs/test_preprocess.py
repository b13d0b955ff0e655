"""Styles prepared for training: twice the same, taken up where it stopped, refused whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from loraloom.cli.main import main
from loraloom.data.scan import scan
from loraloom.events import Advanced, Finished
from loraloom.jobs.preparing.ledger import FILE
from loraloom.jobs.preprocess import REPORT, PreprocessOptions, preprocess
from tests.bad_inputs import blocks


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Write two styles: squares of several sizes with captions, and wide pictures without."""
    root = tmp_path / "raw"
    for name in ("anime", "sketch"):
        (root / name).mkdir(parents=True)
    for number, side in enumerate((64, 96, 200)):
        path = root / "anime" / f"{number}.png"
        blocks(number, side).save(path)
        path.with_suffix(".txt").write_text(f"a house, {number}", encoding="utf-8")
    for number in range(2):
        blocks(10 + number, 128).resize((160, 80)).save(root / "sketch" / f"{number}.jpg")
    return root


def _run(raw: Path, out: Path, *flags: str, capsys, status: int = 0):
    words = [f"{name}={raw / name}" for name in ("anime", "sketch")]
    flags = ("--resolution=64", f"--output_dir={out}", "--json", *flags)
    assert main(["preprocess", *words, *flags]) == status
    return json.loads(capsys.readouterr().out)


def _state(root: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(p.relative_to(root)): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


def test_pictures_get_the_area_of_training_and_captions_their_trigger(raw, tmp_path, capsys):
    out = tmp_path / "data"
    report = _run(raw, out, "--num_repeats=3", capsys=capsys)
    assert [(s["name"], s["trigger"], s["written"]) for s in report["styles"]] == [
        ("anime", "anistyle", 3),
        ("sketch", "sketchstyle", 2),
    ]
    found = scan(out / "anime", resolution=(64, 64))
    assert [(e.width, e.height, e.repeats, e.caption) for e in found.examples] == [
        (64, 64, 3, f"anistyle, a house, {number}") for number in range(3)
    ]
    # 2:1 at the area of 64x64: 64 √2 = 90.5, 64 / √2 = 45.3.
    found = scan(out / "sketch")
    assert [(e.width, e.height, e.caption) for e in found.examples] == [(91, 45, "sketchstyle")] * 2
    # A picture that has the size already is not resampled.
    with Image.open(out / "anime" / "3_anistyle" / "0.png") as image:
        assert image.tobytes() == blocks(0, 64).tobytes()


def test_doing_it_again_changes_nothing(raw, tmp_path, capsys):
    out = tmp_path / "data"
    _run(raw, out, capsys=capsys)
    before = _state(out)
    report = _run(raw, out, capsys=capsys)
    assert _state(out) == before
    assert [(s["written"], s["unchanged"]) for s in report["styles"]] == [(0, 3), (0, 2)]


def test_only_what_changed_is_made_anew_and_what_was_edited_by_hand_is_kept(raw, tmp_path, capsys):
    out = tmp_path / "data"
    _run(raw, out, capsys=capsys)
    folder = out / "anime" / "1_anistyle"
    blocks(77, 64).save(raw / "anime" / "0.png")
    (raw / "anime" / "1.png").unlink()
    (raw / "anime" / "1.txt").unlink()
    (folder / "2.txt").write_text("my own words", encoding="utf-8")
    (raw / "anime" / "2.txt").write_text("other words", encoding="utf-8")
    report = _run(raw, out, capsys=capsys)
    anime = report["styles"][0]
    assert (anime["written"], anime["unchanged"]) == (1, 1)
    assert {path.name for path in folder.iterdir()} == {"0.png", "0.txt", "2.png", "2.txt"}
    assert (folder / "2.txt").read_text(encoding="utf-8") == "my own words"
    codes = {warning["code"] for warning in report["warnings"]}
    assert {"preprocess.edited", "preprocess.dropped"} <= codes


def test_a_stopped_job_is_taken_up_where_it_stopped(raw, tmp_path, capsys):
    whole = tmp_path / "whole"
    _run(raw, whole, capsys=capsys)
    out = tmp_path / "data"
    styles = tuple(f"{name}={raw / name}" for name in ("anime", "sketch"))
    options = PreprocessOptions(styles=styles, output_dir=out, resolution=64)
    done: list[Advanced] = []

    def stop() -> bool:
        return len([event for event in done if event.phase == "prepare anime"]) == 2

    for event in preprocess(options, stop):
        done += [event] if isinstance(event, Advanced) else []
    assert isinstance(event, Finished)
    assert event.interrupted
    report = _run(raw, out, capsys=capsys)
    assert [(s["written"], s["unchanged"]) for s in report["styles"]] == [(1, 2), (2, 0)]
    assert {n: c for n, (c, _) in _state(out).items() if not n.endswith(FILE)} == {
        n: c for n, (c, _) in _state(whole).items() if not n.endswith(FILE)
    }


KILLED = """
import os, signal, sys
from pathlib import Path
from loraloom.jobs.preparing.ledger import Ledger

folder, when = Path(sys.argv[1]), sys.argv[2]
ledger = Ledger(folder)
ledger.put("a.bin", "1", lambda: b"first")
if when == "write":
    os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
    ledger.put("b.bin", "1", lambda: b"second")
with (folder / "preprocess.jsonl").open("a") as file:
    file.write('{"file": "c.b')
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("when", ["write", "line"])
def test_a_killed_job_leaves_nothing_half_made(tmp_path, when):
    from loraloom.jobs.preparing.ledger import Ledger

    words = [sys.executable, "-c", KILLED, str(tmp_path / "set"), when]
    assert subprocess.run(words, capture_output=True, env={**os.environ}).returncode == -9
    ledger = Ledger(tmp_path / "set")
    assert ledger.put("a.bin", "1", lambda: b"never made") == "unchanged"
    assert ledger.put("b.bin", "1", lambda: b"second") == "written"
    assert ledger.put("c.bin", "1", lambda: b"third") == "written"
    again = Ledger(tmp_path / "set")
    for name, content in (("a.bin", b"first"), ("b.bin", b"second"), ("c.bin", b"third")):
        assert again.put(name, "1", lambda: b"never made") == "unchanged"
        assert (tmp_path / "set" / name).read_bytes() == content


def test_what_cannot_be_used_stops_the_job_before_anything_is_written(raw, tmp_path, capsys):
    out = tmp_path / "data"
    blocks(5, 12).save(raw / "anime" / "tiny.png")
    error = _run(raw, out, capsys=capsys, status=3)["error"]
    assert error["code"] == "dataset.picture_too_small"
    assert "anime/tiny.png" in error["message"]
    assert not out.exists()
    report = _run(raw, out, "--skip_unusable", capsys=capsys)
    assert report["styles"][0]["left_out"] == ["anime/tiny.png"]
    told = json.loads((out / "anime" / REPORT).read_text(encoding="utf-8"))
    assert told["left_out"] == [{"file": "anime/tiny.png", "code": "dataset.picture_too_small"}]


def test_a_folder_that_is_somebody_else_s_is_refused(raw, tmp_path, capsys):
    (tmp_path / "data" / "anime").mkdir(parents=True)
    (tmp_path / "data" / "anime" / "mine.txt").write_text("mine")
    error = _run(raw, tmp_path / "data", capsys=capsys, status=1)["error"]
    assert error["code"] == "preprocess.not_ours"


def test_styles_may_be_named_by_flags(raw, tmp_path, capsys):
    flags = ["--anime_dir", str(raw / "anime"), f"--sketch-dir={raw / 'sketch'}"]
    flags += ["--output_dir", str(tmp_path / "data"), "--resolution", "64"]
    flags += ["--trigger", "sketch=my style"]
    assert main(["preprocess", *flags, "--lang", "ko"]) == 0
    told = capsys.readouterr()
    assert "sketch" in told.out
    assert "너무 적습니다" in told.err
    (caption,) = {e.caption for e in scan(tmp_path / "data" / "sketch").examples}
    assert caption == "my style"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], "required.styles"),
        (["anime"], "preprocess.style_form"),
        (["anime=x", "Anime=y"], "preprocess.name_twice"),
        (["a/b=x"], "preprocess.name_unsafe"),
        (["anime=x", "--trigger", "anim=y"], "preprocess.trigger_of_none"),
    ],
)
def test_what_is_not_understood_is_told(words, code, capsys):
    assert main(["preprocess", *words, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code
