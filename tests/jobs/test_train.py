"""The training job, from a recipe to adapter files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from loraloom.adapters import attach
from loraloom.errors import DatasetError, ModelError, OutputError, UsageError
from loraloom.events import Event, Finished, Planned, Sampled, Saved, Stepped, Warned
from loraloom.formats.files import read_adapter
from loraloom.jobs.recipe import Recipe
from loraloom.jobs.train import train
from loraloom.models.load import load_model


def paint(folder: Path, count: int, colour: str) -> Path:
    """Write pictures of one colour in different shades, with captions."""
    folder.mkdir(parents=True)
    for number in range(count):
        picture = Image.new("RGB", (20, 24), colour)
        picture.putpixel((number, number), (255, 255, 255))
        picture.save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"a {colour} house", encoding="utf-8")
    return folder


def recipe(base: Path, tmp_path: Path, **more: Any) -> Recipe:
    """Return a short run of two adapters on the tiny base."""
    if not (tmp_path / "red").exists():
        paint(tmp_path / "red" / "2_anistyle", 3, "red")
        paint(tmp_path / "blue", 2, "blue")
    options: dict[str, Any] = {
        "model": str(base),
        "output_dir": tmp_path / "out",
        "output_name": "pair",
        "network_dim": 2,
        "train_batch_size": 2,
        "max_train_steps": 4,
        "learning_rate": 1e-2,
        "device": "cpu",
        "adapters": [
            {"name": "red", "train_data_dir": tmp_path / "red", "trigger": "anistyle"},
            {"name": "blue", "train_data_dir": tmp_path / "blue", "max_train_steps": 3},
        ],
        **more,
    }
    return Recipe.load(overrides=options)


def of(events: list[Event], kind: type[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_a_run_writes_what_it_announces(tiny_base: Path, tmp_path: Path) -> None:
    wanted = recipe(
        tiny_base,
        tmp_path,
        save_every_n_steps=2,
        sample_prompts=["anistyle, a red house --w 16 --h 16 --s 2 --d 7"],
        sample_every_n_steps=4,
    )
    events = list(train(wanted))
    plan = of(events, Planned)[0].plan
    red, blue = plan["adapters"]
    assert (red["images"], red["uses_per_epoch"], red["steps_per_epoch"], red["epochs"]) == (
        3,
        6,
        3,
        2,
    )
    assert red["first_prompt"] == "anistyle, a red house"
    assert (red["scale"], blue["steps"]) == (0.5, 3)

    steps = of(events, Stepped)
    assert [sorted(step.losses) for step in steps] == [["blue", "red"]] * 3 + [["red"]]

    out = tmp_path / "out"
    assert [event.path for event in of(events, Saved)] == [
        out / "red-step00000002.safetensors",
        out / "blue-step00000002.safetensors",
        out / "blue.safetensors",
        out / "red.safetensors",
    ]
    assert plan["files"] == [str(out / "red.safetensors"), str(out / "blue.safetensors")]
    sampled = of(events, Sampled)
    assert all(event.path.is_file() for event in sampled)
    assert {(event.adapter, event.step, event.seed) for event in sampled} == {
        ("blue", 3, 7),
        ("red", 4, 7),
    }
    assert events[-1] == of(events, Finished)[0]
    assert not events[-1].interrupted

    run = out / "pair.run"
    assert Recipe.load(run / "recipe.toml") == wanted
    logged = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged if line["type"] == "stepped"] == [1, 2, 3, 4]


def test_the_file_is_the_trained_adapter(tiny_base: Path, tmp_path: Path) -> None:
    list(train(recipe(tiny_base, tmp_path)))
    adapter = read_adapter(tmp_path / "out" / "red.safetensors")
    assert adapter.card.triggers == ("anistyle",)
    assert adapter.card.facts["steps"] == 4
    assert adapter.named_parts == ("text_encoder", "unet") or set(adapter.named_parts) == {
        "unet",
        "text_encoder",
    }
    moved = [delta.parts()["up"].abs().max() > 0 for delta in adapter.deltas.values()]
    assert all(moved)
    model = load_model(tiny_base)
    with torch.no_grad():
        before = model.encode_text(["anistyle"]).states
        with attach(model.networks, {"red": adapter}, 1.0):
            worn = model.encode_text(["anistyle"]).states
        after = model.encode_text(["anistyle"]).states
    assert not torch.equal(before, worn)
    assert torch.equal(before, after)


def test_two_runs_are_alike_and_a_neighbour_changes_nothing(
    tiny_base: Path, tmp_path: Path
) -> None:
    both = recipe(tiny_base, tmp_path)
    list(train(both))
    first = read_adapter(tmp_path / "out" / "red.safetensors")
    tables = [{"name": "red", "train_data_dir": tmp_path / "red", "trigger": "anistyle"}]
    alone = recipe(tiny_base, tmp_path, adapters=tables, output_dir=tmp_path / "alone")
    list(train(alone))
    second = read_adapter(tmp_path / "alone" / "red.safetensors")
    for site, delta in first.deltas.items():
        for part, tensor in delta.parts().items():
            gap = (second.deltas[site].parts()[part] - tensor).norm() / tensor.norm()
            # Adam divides small gradients by their own size, and their rounding with them.
            assert gap <= 5e-3, (site, part)


def test_stopping_saves_what_there_is(tiny_base: Path, tmp_path: Path) -> None:
    asked = iter([False, True])
    events = list(train(recipe(tiny_base, tmp_path), stop=lambda: next(asked)))
    assert len(of(events, Stepped)) == 2
    assert events[-1].interrupted
    assert read_adapter(tmp_path / "out" / "red.safetensors").card.facts["steps"] == 2


def test_existing_output_is_kept_unless_told(tiny_base: Path, tmp_path: Path) -> None:
    wanted = recipe(tiny_base, tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "blue.safetensors").write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"blue\.safetensors"):
        list(train(wanted))
    assert (tmp_path / "out" / "blue.safetensors").read_bytes() == b"precious"
    list(train(recipe(tiny_base, tmp_path, overwrite=True)))
    assert (tmp_path / "out" / "blue.safetensors").stat().st_size > 1000


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    events = list(train(recipe(Path("playground"), tmp_path, dry_run=True)))
    assert isinstance(events[0], Planned)
    assert isinstance(events[-1], Finished)
    assert not (tmp_path / "out").exists()


def test_faults_of_the_folder_come_before_the_model(tmp_path: Path) -> None:
    wanted = recipe(Path("no/such-model"), tmp_path)
    (tmp_path / "blue" / "1.txt").write_text(" \n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"1\.txt"):
        list(train(wanted))
    assert not (tmp_path / "out").exists()


def test_an_unknown_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere"):
        list(train(recipe(tmp_path / "nowhere", tmp_path)))
    assert not (tmp_path / "out").exists(), "the run can be started again as it is"


def test_half_precision_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="bf16"):
        list(train(recipe(tiny_base, tmp_path, mixed_precision="fp16")))


def test_captions_from_folder_words_are_told(tiny_base: Path, tmp_path: Path) -> None:
    wanted = recipe(tiny_base, tmp_path)
    (tmp_path / "red" / "2_anistyle" / "0.txt").unlink()
    warned = of(list(train(wanted)), Warned)
    assert [event.code for event in warned] == ["dataset.caption_from_folder"]


@pytest.mark.parametrize("form", ["diffusers", "peft"])
def test_other_formats(tiny_base: Path, tmp_path: Path, form: str) -> None:
    events = list(train(recipe(tiny_base, tmp_path, save_format=form)))
    for event in of(events, Saved):
        assert read_adapter(event.path).deltas
