"""Duplicates moved and never deleted; parts that share no near duplicate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import ImageFilter

from loraloom.cli.main import main
from loraloom.jobs.dataset.dedupe import MOVED
from tests.bad_inputs import blocks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write five pictures, of which three are one in three sizes, and a damaged one."""
    root = tmp_path / "set"
    (root / "2_sks").mkdir(parents=True)
    for name, number, side in (
        ("a.png", 0, 64),
        ("a small.png", 0, 32),
        ("a large.png", 0, 128),
        ("b.png", 1, 64),
        ("c.png", 2, 64),
    ):
        path = root / "2_sks" / name
        blocks(number, side).save(path)
        path.with_suffix(".txt").write_text(f"sks, {name}", encoding="utf-8")
    (root / "2_sks" / "broken.png").write_bytes(b"no picture")
    return root


def _names(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def _run(*words: str, capsys, status: int = 0):
    assert main(["dataset", *words, "--json"]) == status
    return json.loads(capsys.readouterr().out)


def test_duplicates_are_listed_and_nothing_is_moved(folder, capsys):
    before = _names(folder)
    report = _run("dedupe", str(folder), capsys=capsys)
    (group,) = report["groups"]
    assert group["kept"] == {"file": "2_sks/a large.png", "width": 128, "height": 128}
    assert [other["file"] for other in group["others"]] == ["2_sks/a.png", "2_sks/a small.png"]
    assert report["redundant"] == 2
    assert _names(folder) == before
    assert main(["dataset", "dedupe", str(folder), "--lang", "ko"]) == 0
    assert "같은 것끼리 1묶음" in capsys.readouterr().out


def test_duplicates_are_moved_with_their_captions_and_the_way_back_is_written(
    folder, tmp_path, capsys
):
    before = _names(folder)
    out = tmp_path / "out"
    _run("dedupe", str(folder), f"--output_dir={out}", capsys=capsys)
    moved = {"2_sks/a.png", "2_sks/a.txt", "2_sks/a small.png", "2_sks/a small.txt"}
    assert _names(folder) == before - moved
    assert _names(out) == moved | {MOVED}
    for target, source in json.loads((out / MOVED).read_text(encoding="utf-8")).items():
        Path(target).rename(source)
    assert _names(folder) == before


def test_what_is_moved_goes_nowhere_near_what_it_came_from(folder, capsys):
    inside = f"--output_dir={folder / 'out'}"
    error = _run("dedupe", str(folder), inside, capsys=capsys, status=2)["error"]
    assert error["code"] == "fix.same_folder"


def test_near_duplicates_stay_on_one_side(folder, tmp_path, capsys):
    twins = {"2_sks/a.png", "2_sks/a small.png", "2_sks/a large.png"}
    for seed in range(6):
        words = ("split", str(folder), "--held_out=0.5", f"--seed={seed}")
        report = _run(*words, capsys=capsys)
        train, apart = set(report["train"]), set(report["held_out"])
        assert train.isdisjoint(apart)
        assert train | apart == twins | {"2_sks/b.png", "2_sks/c.png"}
        assert apart
        assert twins <= train or twins <= apart
        assert report["left_out"] == ["2_sks/broken.png"]
        assert _run(*words, capsys=capsys) == report
    out = tmp_path / "parts"
    report = _run("split", str(folder), "--held_out=0.4", f"--output_dir={out}", capsys=capsys)
    for part in ("train", "held_out"):
        written = {name for name in _names(out / part) if name.endswith(".png")}
        assert written == set(report[part])
        for name in written:
            assert (out / part / name).read_bytes() == (folder / name).read_bytes()
            assert (out / part / name).with_suffix(".txt").is_file()


def test_the_better_of_two_equals_is_kept(tmp_path, capsys):
    # Sharpness would prefer the edges of the blocks that strong compression makes.
    picture = blocks(3, 128).filter(ImageFilter.GaussianBlur(2))
    picture.save(tmp_path / "original.png")
    picture.save(tmp_path / "again.jpg", quality=20)
    (group,) = _run("dedupe", str(tmp_path), capsys=capsys)["groups"]
    assert group["kept"]["file"] == "original.png"
    (tmp_path / "again.txt").write_text("a caption", encoding="utf-8")
    (group,) = _run("dedupe", str(tmp_path), capsys=capsys)["groups"]
    assert group["kept"]["file"] == "again.jpg"


def _picture(path: Path, seed: int, side: int = 64) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks(seed, side).save(path)
    path.with_suffix(".txt").write_text("a word")
    return path


def test_a_picture_that_is_named_twice_is_not_moved_away(tmp_path, capsys):
    _picture(tmp_path / "train/10_sks bear/a.png", 1)
    places = [str(tmp_path / "train"), str(tmp_path / "train/10_sks bear"), str(tmp_path / "train")]
    words = [*places, "--output_dir", str(tmp_path / "away")]
    assert _run("dedupe", *words, capsys=capsys)["groups"] == []
    assert not (tmp_path / "away").exists()


def test_a_link_goes_where_its_picture_goes(tmp_path, capsys):
    folder = tmp_path / "set"
    _picture(folder / "large.png", 1, 128)
    small = _picture(folder / "small.png", 1)
    (folder / "alias.png").symlink_to("small.png")
    (folder / "alias.txt").write_text("another word")
    away = tmp_path / "away"
    report = _run("dedupe", str(folder), "--output_dir", str(away), capsys=capsys)
    assert [[each["file"] for each in group["others"]] for group in report["groups"]] == [
        ["small.png"]
    ]
    assert _names(folder) == {"large.png", "large.txt"}
    assert {"small.png", "small.txt", "alias.png", "alias.txt"} <= _names(away)
    assert (away / "alias.png").read_bytes() == (away / "small.png").read_bytes()
    assert (away / "alias.png").is_symlink()
    assert not small.exists()
