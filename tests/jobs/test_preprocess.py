"""Styles prepared for training: twice the same, taken up where it stopped, refused whole."""

from __future__ import annotations

import json
import math
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from loraloom.cli.main import main
from loraloom.data.bucket import Bucketing
from loraloom.data.picture import Picture
from loraloom.data.resize import training_size
from loraloom.data.scan import scan
from loraloom.events import Advanced, Finished
from loraloom.jobs.ledger import Ledger
from loraloom.jobs.preprocess import RECORD, REPORT, PreprocessOptions, preprocess
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
    # In steps of 64 pixels there is no bucket of the area of 64x64 but that; 2:1 covers it so.
    found = scan(out / "sketch")
    sizes = [(e.width, e.height, e.caption) for e in found.examples]
    assert sizes == [(128, 64, "sketchstyle")] * 2
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


def test_captions_edited_by_hand_are_not_left_behind_by_another_trigger(raw, tmp_path, capsys):
    out = tmp_path / "data"
    _run(raw, out, capsys=capsys)
    old = out / "anime" / "1_anistyle"
    (old / "2.txt").write_text("my own words", encoding="utf-8")
    before = _state(out)
    flags = ("--trigger", "anime=newt", "--trigger", "sketch=other")
    error = _run(raw, out, *flags, capsys=capsys, status=1)["error"]
    assert error["code"] == "preprocess.edited_elsewhere"
    assert "2.txt" in json.dumps(error)
    assert _state(out) == before
    # The way back is as it was; and once they are moved, the new run takes place.
    assert "preprocess.edited" in {w["code"] for w in _run(raw, out, capsys=capsys)["warnings"]}
    (old / "2.txt").rename(tmp_path / "kept.txt")
    _run(raw, out, *flags, capsys=capsys)
    assert {path.name for path in (out / "anime" / "1_newt").glob("*.txt")} == {
        f"{number}.txt" for number in range(3)
    }


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
    assert {n: c for n, (c, _) in _state(out).items() if not n.endswith(RECORD)} == {
        n: c for n, (c, _) in _state(whole).items() if not n.endswith(RECORD)
    }


KILLED = """
import os, signal, sys
from pathlib import Path
from loraloom.jobs.ledger import Ledger

folder, when = Path(sys.argv[1]), sys.argv[2]
ledger = Ledger(folder, "preprocess.jsonl")
with ledger.held():
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
    folder = tmp_path / "set"
    words = [sys.executable, "-c", KILLED, str(folder), when]
    assert subprocess.run(words, capture_output=True, env={**os.environ}).returncode == -9
    assert {path.name for path in folder.glob("*.bin")} == {"a.bin"}
    ledger = Ledger(folder, RECORD)
    with ledger.held():
        assert ledger.put("a.bin", "1", lambda: b"never made") == "unchanged"
        assert ledger.put("b.bin", "1", lambda: b"second") == "written"
        assert ledger.put("c.bin", "1", lambda: b"third") == "written"
    again = Ledger(folder, RECORD)
    with again.held():
        for name, content in (("a.bin", b"first"), ("b.bin", b"second"), ("c.bin", b"third")):
            assert again.put(name, "1", lambda: b"never made") == "unchanged"
            assert (folder / name).read_bytes() == content
    assert {path.name for path in folder.iterdir()} == {"a.bin", "b.bin", "c.bin", RECORD}


HOLDING = """
import sys
from pathlib import Path
from loraloom.jobs.ledger import Ledger

with Ledger(Path(sys.argv[1]), "preprocess.jsonl").held():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_that_another_process_writes_is_left_to_it(raw, tmp_path, capsys):
    out = tmp_path / "data"
    words = [sys.executable, "-c", HOLDING, str(out / "sketch")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        error = _run(raw, out, capsys=capsys, status=1)["error"]
        assert error["code"] == "output.at_work"
        assert str(out / "sketch") in error["message"]
        other.communicate()
    assert _run(raw, out, capsys=capsys)["styles"][1]["written"] == 2


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


@settings(max_examples=300)
@given(width=st.integers(40, 4000), height=st.integers(40, 4000), step=st.sampled_from([8, 32, 64]))
def test_training_enlarges_no_picture_that_was_brought_to_its_size(width, height, step):
    bucketing = Bucketing(resolution=(512, 512), step=step, smallest=256, largest=1024)
    size = training_size(Picture(width=width, height=height), bucketing)
    fit = bucketing.fit(*size)
    assert fit.resized[0] <= size[0]
    assert fit.resized[1] <= size[1]
    # But for near ties of two buckets it is resized once only.
    assert fit.resized == size or math.dist(fit.resized, size) < 0.1 * math.hypot(*size)
    # No side is twisted by more than the rounding of both.
    assert abs(size[0] * height - size[1] * width) <= 2 * max(width, height)


def test_large_pictures_are_scaled_once_and_nothing_is_left_to_enlarge(tmp_path, capsys):
    (tmp_path / "raw").mkdir()
    for number, width in enumerate((900, 600, 650, 1100, 1600)):
        image = blocks(number, 600).resize((width, 600))
        image.save(tmp_path / "raw" / f"{number}.jpg", quality=95)
        (tmp_path / "raw" / f"{number}.txt").write_text("a house", encoding="utf-8")
    words = [f"a={tmp_path / 'raw'}", f"--output_dir={tmp_path / 'data'}", "--quiet"]
    assert main(["preprocess", *words]) == 0
    with Image.open(tmp_path / "data" / "a" / "1_astyle" / "0.png") as image:
        assert image.size == (640, 427)  # the bucket of 3:2 is 640x384
    capsys.readouterr()
    bucketing = Bucketing(resolution=(512, 512), step=64, smallest=256, largest=1024)
    for example in scan(tmp_path / "data" / "a").examples:
        size = (example.width, example.height)
        assert bucketing.fit(*size).resized == size
    assert main(["dataset", "check", str(tmp_path / "data" / "a"), "--json"]) == 0
    codes = {each["code"] for each in json.loads(capsys.readouterr().out)["findings"]}
    assert "dataset.picture_enlarged" not in codes


def test_every_line_that_may_be_trained_has_the_trigger(raw, tmp_path, capsys):
    text = "a house\nanistyle, a hut\na tower"
    (raw / "anime" / "0.txt").write_text(text, encoding="utf-8")
    _run(raw, tmp_path / "data", capsys=capsys)
    lines = (tmp_path / "data" / "anime" / "1_anistyle" / "0.txt").read_text().splitlines()
    assert lines == ["anistyle, a house", "anistyle, a hut", "anistyle, a tower"]


def test_what_comes_next_trains_each_style_by_its_trigger(raw, tmp_path, capsys):
    out = tmp_path / "my data"
    words = [f"{name}={raw / name}" for name in ("anime", "sketch")]
    flags = [f"--output_dir={out}", "--resolution=128", "--trigger=sketch=my style"]
    assert main(["preprocess", *words, *flags, "--model=playground"]) == 0
    program, *command = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert program == "loraloom"
    command += ["--output_dir", str(tmp_path / "out"), "--steps=1", "--dry_run", "--json"]
    assert main(command) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert [(each["name"], each["trigger"]) for each in plan["adapters"]] == [
        ("anime", "anistyle"),
        ("sketch", "my style"),
    ]


def test_a_flag_is_no_folder(capsys):
    assert main(["preprocess", "--anime_dir", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "preprocess.folder_missing"
    assert "--anime_dir" in error["message"]
