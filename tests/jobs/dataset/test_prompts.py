"""The prompts that a check tells: those of the training, whatever each subset says of its own."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from loraloom.cli.main import main
from loraloom.data.caption import compose
from loraloom.jobs.plan import make_plan
from loraloom.jobs.recipe import Recipe
from loraloom.jobs.seeing import caption_rules
from tests.bad_inputs import blocks

_FILE = """
[general]
caption_prefix = "art,"

[[datasets]]
resolution = 256

[[datasets.subsets]]
image_dir = "plain"
class_tokens = "a dog"

[[datasets.subsets]]
image_dir = "tags"
shuffle_caption = true
keep_tokens_separator = "|||"
secondary_separator = ";"
caption_tag_dropout_rate = 0.5
caption_extension = ".tags"
caption_suffix = ",end"

[[datasets.subsets]]
image_dir = "words"
enable_wildcard = true
caption_prefix = ""
caption_separator = "/"

[[datasets.subsets]]
image_dir = "slow"
token_warmup_step = 0.5
token_warmup_min = 2
keep_tokens = 1
caption_dropout_rate = 0.3

[[datasets.subsets]]
image_dir = "class"
is_reg = true
class_tokens = "dog"
"""

_TOLD = {
    "plain": "sks, art, a dog",
    "tags": "sks, art, a, b,c, d, end",
    "words": "sks, a green hat",
    "slow": "sks, art, x, y, z",
    "class": "art, dog",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data set file of five subsets of one picture each, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(_TOLD):
        Path(name).mkdir()
        blocks(number, 300).save(f"{name}/0.png")
    Path("tags/0.txt").write_text("another caption")
    Path("tags/0.tags").write_text("a ||| b;c ,d")
    Path("words/0.txt").write_text("a {red|green} hat\na cap")
    Path("slow/0.txt").write_text("x,y ,z")
    Path("set.toml").write_text(_FILE, encoding="utf-8")
    return Path("set.toml")


def _report(*arguments: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["dataset", "check", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_each_subset_has_its_own_rules(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = _report(str(place), "--trigger=sks", capsys=capsys)
    named = _report(f"--train_data_dir={place}", "--trigger=sks", capsys=capsys)
    assert named == report
    assert report["resolution"] == [256, 256]
    prompts = {each["subset"]: each for each in report["prompts"]}
    assert {name: each["prompt"] for name, each in prompts.items()} == _TOLD
    recipe = Recipe.load(overrides={"model": "m", "data": str(place), "trigger": "sks"})
    (plan,) = make_plan(recipe).adapters
    for example in plan.scan.examples:
        rules = caption_rules(example, plan.options.data, plan.steps)
        trained = {
            compose(
                example.caption,
                rules,
                random.Random(seed),
                further_lines=example.further_lines,
                step=plan.steps - 1,
            )
            for seed in range(60)
        }
        told = prompts[example.subset]
        assert set(told.get("drawn", ())) <= trained
        assert ("drawn" in told) == (len(trained) > 1)
        # Nothing is drawn that is not told, but for the tags that chance takes.
        assert example.subset == "tags" or _TOLD[example.subset] in trained
    unused = [each for each in report["findings"] if each["code"] == "dataset.caption_lines"]
    assert unused == []


def test_drawn_prompts_are_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "check", str(place)]) == 0
    out = capsys.readouterr().out
    assert out.count("may be drawn: ") >= 3


def test_weights_are_counted_as_they_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks(1, 300).save(tmp_path / "0.png")
    (tmp_path / "0.txt").write_text("a (red:1.5) ball, " * 24 + "[sky]")
    place = (str(tmp_path), "--resolution=256", "--model=playground")
    (bare,) = _report(*place, capsys=capsys)["prompts"]
    (read,) = _report(*place, "--weighted_captions", capsys=capsys)["prompts"]
    assert read["prompt"] == "a red ball, " * 24 + "sky"
    assert read["tokens"] == 24 * 4 + 1
    assert bare["tokens"] > read["tokens"] + 24 * 4
    # 75 tokens are 18 times four, and three more.
    assert read["cut"] == ", " + "a red ball, " * 5 + "sky"
    assert read["weights"][:3] == [["a ", 1.0], ["red", 1.5], [" ball, a ", 1.0]]
    assert "weights" not in bare


def test_files_that_set_different_things_are_not_mixed(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = place.with_name("other.toml")
    other.write_text(place.read_text().replace("resolution = 256", "resolution = 128"))
    assert main(["dataset", "check", str(place), str(other), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "dataset_file.differ"
    both = _report(str(place), str(other), "--resolution=256", capsys=capsys)
    assert both["images"] == 5  # a folder that both name counts once
