"""The training job, from a recipe to adapter files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from loraloom.adapters import Adapter, attach
from loraloom.errors import (
    DatasetError,
    Diverged,
    MemoryRanOut,
    ModelError,
    OutputError,
    UsageError,
)
from loraloom.events import Event, Finished, Planned, Sampled, Saved, Stepped, Warned
from loraloom.formats.files import read_adapter, write_adapter
from loraloom.formats.header import read_header
from loraloom.jobs import course
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


def stopped(wanted: Recipe, steps: int) -> Iterator[Event]:
    """Train, and ask to stop once this many steps are done."""
    seen: list[Event] = []
    for event in train(wanted, stop=lambda: len(of(seen, Stepped)) >= steps):
        seen.append(event)
        yield event


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
    assert red["prompts"][0] == "anistyle, a red house"
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
    events = list(stopped(recipe(tiny_base, tmp_path), steps=2))
    assert len(of(events, Stepped)) == 2
    assert events[-1].interrupted
    assert read_adapter(tmp_path / "out" / "red.safetensors").card.facts["steps"] == 2


def test_stopping_before_the_first_step_writes_nothing(tiny_base: Path, tmp_path: Path) -> None:
    events = list(train(recipe(tiny_base, tmp_path), stop=lambda: True))
    assert not of(events, Planned)
    assert events[-1].interrupted
    assert not (tmp_path / "out").exists()


def test_existing_output_is_kept_unless_told(tiny_base: Path, tmp_path: Path) -> None:
    wanted = recipe(tiny_base, tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "blue.safetensors").write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"blue\.safetensors"):
        list(train(wanted))
    assert (tmp_path / "out" / "blue.safetensors").read_bytes() == b"precious"
    list(train(recipe(tiny_base, tmp_path, overwrite=True)))
    assert (tmp_path / "out" / "blue.safetensors").stat().st_size > 1000


def test_a_dry_run_writes_nothing(tiny_base: Path, tmp_path: Path) -> None:
    events = list(train(recipe(tiny_base, tmp_path, dry_run=True)))
    assert len(of(events, Planned)) == 1
    assert isinstance(events[-1], Finished)
    assert not (tmp_path / "out").exists()


def test_a_measured_step_tells_the_time_and_writes_nothing(tiny_base: Path, tmp_path: Path) -> None:
    events = list(train(recipe(tiny_base, tmp_path, measure=True, max_train_steps=1000)))
    (plan,) = (event.plan for event in of(events, Planned))
    measured = plan["measured"]
    assert 0 < measured["step_seconds"] < 60
    expected = 1000 * measured["step_seconds"] + measured["encoding_seconds"]
    assert measured["seconds"] == pytest.approx(expected)
    assert measured["peak_bytes"] > 2**20
    assert not of(events, Stepped)
    assert isinstance(events[-1], Finished)
    assert not (tmp_path / "out").exists()


def test_shapes_weights_and_class_pictures_are_trained_on(tiny_base: Path, tmp_path: Path) -> None:
    paint(tmp_path / "both" / "train" / "2_anistyle", 3, "red")
    for number in range(3):  # wide, so that they are in a bucket of their own
        path = tmp_path / "both" / "train" / "2_anistyle" / f"{number}.png"
        Image.open(path).resize((32, 16 - 8 * (number == 2))).save(path)
    paint(tmp_path / "both" / "reg" / "1_house", 5, "green")
    tables = [{"name": "red", "train_data_dir": tmp_path / "both", "trigger": "anistyle"}]
    wanted = recipe(tiny_base, tmp_path, adapters=tables, max_train_epochs=1)
    events = list(train(wanted))
    (adapter,) = of(events, Planned)[0].plan["adapters"]
    assert len(adapter["buckets"]) == 3
    assert adapter["regularisation"] == 5
    steps = of(events, Stepped)
    assert len(steps) == adapter["steps_per_epoch"] == 3
    assert {step.epoch for step in steps} == {1}

    unweighted = read_adapter(tmp_path / "out" / "red.safetensors")
    again = recipe(
        tiny_base,
        tmp_path,
        adapters=tables,
        max_train_epochs=1,
        prior_loss_weight=0,
        output_dir=tmp_path / "again",
    )
    list(train(again))
    weighted = read_adapter(tmp_path / "again" / "red.safetensors")
    assert any(
        not torch.equal(part, weighted.deltas[site].parts()[name])
        for site, delta in unweighted.deltas.items()
        for name, part in delta.parts().items()
    )


def test_a_folder_of_class_pictures_alone(tiny_base: Path, tmp_path: Path) -> None:
    paint(tmp_path / "reg", 2, "green")
    file = tmp_path / "reg.toml"
    folder = (tmp_path / "reg").as_posix()
    file.write_text(
        f"[[datasets]]\n[[datasets.subsets]]\nimage_dir = '{folder}'\nis_reg = true\n",
        encoding="utf-8",
    )
    tables = [{"name": "red", "train_data_dir": file}]
    with pytest.raises(DatasetError) as caught:
        list(train(recipe(tiny_base, tmp_path, adapters=tables)))
    assert caught.value.code == "dataset.only_regularisation"


def test_faults_of_the_folder_come_before_the_model(tmp_path: Path) -> None:
    wanted = recipe(Path("no/such-model"), tmp_path)
    (tmp_path / "blue" / "1.txt").write_text(" \n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"1\.txt"):
        list(train(wanted))
    assert not (tmp_path / "out").exists()


def _lacks_its_index(base: Path) -> None:
    (base / "model_index.json").unlink()


def _is_of_another_family(base: Path) -> None:
    (base / "model_index.json").write_text(json.dumps({"_class_name": "KandinskyPipeline"}))


def _has_cut_weights(base: Path) -> None:
    path = base / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def _is_whole(base: Path) -> None:
    pass


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("harm", "options", "error", "told"),
    [
        (_lacks_its_index, {}, ModelError, r"model_index\.json"),
        (_is_of_another_family, {}, ModelError, "KandinskyPipeline"),
        (_has_cut_weights, {}, ModelError, "not a whole safetensors file"),
        (_is_whole, {"model": "nowhere at all"}, ModelError, "nowhere at all"),
        (_is_whole, {"model": "some/where"}, ModelError, "some/where"),
        (_is_whole, {"mixed_precision": "fp16"}, UsageError, "bf16"),
        (_is_whole, {"resolution": 18}, UsageError, "multiples of 4"),
        (_is_whole, {"clip_skip": 3}, UsageError, "1 to 2"),
        (_is_whole, {"device": "tpu9"}, UsageError, "tpu9"),
        (_is_whole, {"sample_prompts": ["a cat --w 18"]}, UsageError, "multiples of 4"),
    ],
)
def test_what_is_wrong_is_found_before_anything_is_loaded_or_written(
    tiny_base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[Path], None],
    options: dict[str, Any],
    error: type[Exception],
    told: str,
    dry_run: bool,
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_base, base)
    harm(base)
    monkeypatch.setattr(course, "open_model", pytest.fail)
    with pytest.raises(error, match=told):
        list(train(recipe(base, tmp_path, dry_run=dry_run, **options)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("dry_run", [True, False])
def test_an_output_folder_that_cannot_be_written(
    tiny_base: Path, tmp_path: Path, dry_run: bool
) -> None:
    (tmp_path / "out").write_bytes(b"precious")
    with pytest.raises(OutputError, match="is a file"):
        list(train(recipe(tiny_base, tmp_path, dry_run=dry_run)))
    assert (tmp_path / "out").read_bytes() == b"precious"


def test_a_disk_too_small_for_the_adapters_is_found_before_training(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recipe(tiny_base, tmp_path)
    list(train(wanted))
    written = [tmp_path / "out" / f"{name}.safetensors" for name in ("red", "blue")]
    numbers = sum(path.stat().st_size - read_header(path).data_start for path in written)
    alphas = sum(name.endswith(".alpha") for path in written for name in read_header(path).entries)

    def usage(free: int) -> Callable[[Path], Any]:
        return lambda place: SimpleNamespace(free=free)

    again = recipe(tiny_base, tmp_path, output_dir=tmp_path / "again")
    needed = numbers - 4 * alphas
    monkeypatch.setattr(shutil, "disk_usage", usage(needed - 1))
    with pytest.raises(OutputError, match="MiB"):
        list(train(again))
    assert not (tmp_path / "again").exists()
    monkeypatch.setattr(shutil, "disk_usage", usage(needed))
    assert of(list(stopped(again, steps=1)), Saved)


@pytest.fixture
def with_a_broken_one(tiny_base: Path, tmp_path: Path) -> Callable[..., Recipe]:
    """Return a function that makes a run of `red`, `blue`, and `bad`, whose steps are too large."""

    def make(**more: Any) -> Recipe:
        ours = recipe(tiny_base, tmp_path)
        tables = [
            {"name": each.name, "train_data_dir": each.data.train_data_dir, "trigger": "anistyle"}
            for each in ours.adapters
        ]
        bad = {**tables[0], "name": "bad", "learning_rate": 1e30}
        return recipe(tiny_base, tmp_path, **{"adapters": [bad, *tables], **more})

    return make


def test_one_that_breaks_ends_alone_and_is_told_at_the_end(
    with_a_broken_one: Callable[..., Recipe], tmp_path: Path
) -> None:
    events: list[Event] = []
    with pytest.raises(Diverged) as caught:
        events.extend(train(with_a_broken_one(save_every_n_steps=1)))
    out = tmp_path / "out"
    assert caught.value.code == "train.some_diverged"
    assert caught.value.exit_code == 6
    for language in ("en", "ko"):
        message = caught.value.message(language)
        assert "bad (2)" in message
        assert str(out / "red.safetensors") in message
        assert str(out / "bad.safetensors") not in message
    assert [(e.code, e.details["adapter"]) for e in of(events, Warned)] == [
        ("train.diverged", "bad")
    ]
    files = {path.name for path in out.glob("*.safetensors")}
    assert {name for name in files if name.startswith("bad")} == {"bad-step00000001.safetensors"}
    assert read_adapter(out / "red.safetensors").card.facts["steps"] == 4
    assert read_adapter(out / "blue.safetensors").card.facts["steps"] == 4
    logged = (out / "pair.run" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(logged[-1])["code"] == "train.some_diverged"
    assert not of(events, Finished), "a run that did not end well does not say so"


def test_those_that_go_on_are_saved_when_stopped(
    with_a_broken_one: Callable[..., Recipe], tmp_path: Path
) -> None:
    with pytest.raises(Diverged, match=r"red\.safetensors"):
        list(stopped(with_a_broken_one(), steps=3))
    assert read_adapter(tmp_path / "out" / "red.safetensors").card.facts["steps"] == 3
    assert not (tmp_path / "out" / "bad.safetensors").exists()


def test_where_one_cannot_be_written_the_others_are(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(adapter: Adapter, path: Path, **options: Any) -> None:
        if path.stem == "red":
            raise OutputError("output.exists", path=path)
        write_adapter(adapter, path, **options)

    monkeypatch.setattr("loraloom.jobs.course.write_adapter", write)
    with pytest.raises(OutputError, match="red"):
        list(stopped(recipe(tiny_base, tmp_path), steps=1))
    assert (tmp_path / "out" / "blue.safetensors").is_file()


def test_one_that_cannot_be_saved_ends_alone(
    with_a_broken_one: Callable[..., Recipe], tmp_path: Path
) -> None:
    # Its only step makes numbers of 1e30, for which fp16 has no word.
    tables = [
        {**each.model_dump(include={"name"}), "train_data_dir": each.data.train_data_dir}
        for each in with_a_broken_one().adapters
    ]
    tables = [{**table, "trigger": "anistyle"} for table in tables]
    tables[0] |= {"learning_rate": 1e30, "max_train_steps": 1}
    events: list[Event] = []
    with pytest.raises(Diverged, match=r"bad \(1\)"):
        events.extend(train(with_a_broken_one(adapters=tables, save_precision="fp16")))
    assert [event.code for event in of(events, Warned)] == ["train.not_savable"]
    assert (tmp_path / "out" / "red.safetensors").is_file()
    assert not (tmp_path / "out" / "bad.safetensors").exists()


def test_one_alone_that_breaks_ends_the_run(tiny_base: Path, tmp_path: Path) -> None:
    recipe(tiny_base, tmp_path)
    tables = [{"name": "red", "train_data_dir": tmp_path / "red", "learning_rate": 1e30}]
    with pytest.raises(Diverged, match='"red" broke at step 2') as caught:
        list(train(recipe(tiny_base, tmp_path, adapters=tables)))
    assert caught.value.exit_code == 6
    assert not (tmp_path / "out" / "red.safetensors").exists()


def test_a_sample_that_is_not_finite_ends_nothing(
    with_a_broken_one: Callable[..., Recipe],
) -> None:
    prompts = ["anistyle --w 16 --h 16 --s 1"]
    events: list[Event] = []
    with pytest.raises(Diverged, match=r"bad \(2\)"):
        events.extend(train(with_a_broken_one(sample_prompts=prompts, sample_every_n_steps=1)))
    assert [event.code for event in of(events, Warned)] == ["samples.not_finite", "train.diverged"]
    assert {event.adapter for event in of(events, Sampled)} == {"red", "blue"}


def test_too_little_memory(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(*arguments: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(course, "open_model", allocate)
    with pytest.raises(MemoryRanOut, match="--train_batch_size 1"):
        list(train(recipe(tiny_base, tmp_path)))
    assert not (tmp_path / "out").exists()


def test_captions_from_folder_words_are_told(tiny_base: Path, tmp_path: Path) -> None:
    wanted = recipe(tiny_base, tmp_path)
    (tmp_path / "red" / "2_anistyle" / "0.txt").unlink()
    warned = of(list(train(wanted)), Warned)
    told = [event.code for event in warned]
    assert told.count("dataset.caption_from_folder") == 1
    assert "dataset.trigger_missing" not in told  # a note, which asks for nothing
    asked = recipe(tiny_base, tmp_path, dry_run=True, overwrite=True)
    severities = {event.code: event.severity for event in of(list(train(asked)), Warned)}
    assert severities["dataset.trigger_missing"] == "note"
    assert severities["dataset.caption_from_folder"] == "warning"


@pytest.mark.parametrize("form", ["diffusers", "peft"])
def test_other_formats(tiny_base: Path, tmp_path: Path, form: str) -> None:
    events = list(train(recipe(tiny_base, tmp_path, save_format=form)))
    for event in of(events, Saved):
        assert read_adapter(event.path).deltas
