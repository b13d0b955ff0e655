"""What a run is about to write, and what keeps it from starting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from loraloom.errors import OutputError, UsageError
from loraloom.events import Planned
from loraloom.jobs.device import precision_of
from loraloom.jobs.plan import make_plan
from loraloom.jobs.recipe import Recipe
from loraloom.jobs.train import train
from loraloom.jobs.trainees import new_adapter
from loraloom.models.geometry import Geometry
from loraloom.models.load import load_model

GEOMETRY = Geometry(
    channels=4, latent_factor=8, resolution=128, resolution_step=32, text_layers=2, timesteps=1000
)


def recipe(tmp_path: Path, **more: Any) -> Recipe:
    """Return a run of one adapter, `cat`: 4 pictures, 2 steps an epoch, 10 steps."""
    folder = tmp_path / "pictures"
    if not folder.exists():
        folder.mkdir()
        for number in range(4):
            Image.new("RGB", (64, 64)).save(folder / f"{number}.png")
    options = {
        "model": "playground",
        "data": folder,
        "trigger": "cat",
        "train_batch_size": 2,
        "max_train_steps": 10,
        "output_dir": tmp_path / "out",
    }
    chosen = {key: value for key, value in {**options, **more}.items() if value is not None}
    return Recipe.load(overrides=chosen)


def put(tmp_path: Path, *names: str) -> list[Path]:
    paths = [tmp_path / "out" / name for name in names]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"precious")
    return paths


def test_files_on_the_way_go_by_steps_before_epochs(tmp_path: Path) -> None:
    wanted = recipe(tmp_path, save_every_n_steps=3, save_every_n_epochs=3)
    (adapter,) = make_plan(wanted).adapters
    assert adapter.steps_per_epoch == 2
    written = {step: adapter.outputs(wanted).path_after(step) for step in range(1, 11)}
    assert {step: path.name for step, path in written.items() if path} == {
        3: "cat-step00000003.safetensors",
        6: "cat-step00000006.safetensors",  # due by epochs too
        9: "cat-step00000009.safetensors",
        10: "cat.safetensors",
    }
    by_epochs = recipe(tmp_path, save_every_n_epochs=3)
    (adapter,) = make_plan(by_epochs).adapters
    assert adapter.outputs(by_epochs).path_after(6) == tmp_path / "out" / "cat-000003.safetensors"


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"save_every_n_steps": 3}, "cat-step00000006.safetensors"),
        ({"save_every_n_epochs": 2}, "cat-000002.safetensors"),
        ({}, "cat.safetensors"),
        ({}, "cat.run"),
        ({"save_format": "peft", "save_every_n_steps": 5}, "cat-step00000005"),
    ],
)
def test_leftovers_are_found_before_the_run(
    tmp_path: Path, options: dict[str, Any], left: str
) -> None:
    (path,) = put(tmp_path, left)
    with pytest.raises(OutputError) as caught:
        make_plan(recipe(tmp_path, **options))
    assert caught.value.code == "train.output_exists"
    assert str(path) in caught.value.message("ko")


def test_all_leftovers_are_named_in_short(tmp_path: Path) -> None:
    put(tmp_path, *(f"cat-step0000000{step}.safetensors" for step in range(1, 8)))
    with pytest.raises(OutputError, match=r"7 are there.*step00000001.*\(\+3\)"):
        make_plan(recipe(tmp_path, save_every_n_steps=1))


def test_what_the_run_does_not_write_is_no_matter(tmp_path: Path) -> None:
    put(
        tmp_path,
        "cat-step00000004.safetensors",  # between two saves
        "cat-step00000012.safetensors",  # after the last step
        "cat-step3.safetensors",
        "cat-000001.safetensors",
        "cats.safetensors",
        "cat-step00000003",
    )
    make_plan(recipe(tmp_path, save_every_n_steps=3))


def test_files_are_replaced_when_asked_but_a_folder_never(tmp_path: Path) -> None:
    put(tmp_path, "cat.safetensors", "cat-step00000003.safetensors")
    make_plan(recipe(tmp_path, save_every_n_steps=3, overwrite=True))
    (tmp_path / "out" / "cat-step00000006.safetensors").mkdir()
    with pytest.raises(OutputError) as caught:
        make_plan(recipe(tmp_path, save_every_n_steps=3, overwrite=True))
    assert caught.value.code == "output.is_folder"


def test_an_output_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"precious")
    with pytest.raises(OutputError) as caught:
        make_plan(recipe(tmp_path))
    assert caught.value.code == "output.below_file"


def test_a_cache_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"precious")
    told = {"cache_dir": tmp_path / "cache", "cache_latents_to_disk": True}
    with pytest.raises(OutputError) as caught:
        make_plan(recipe(tmp_path, **told))
    assert caught.value.code == "output.below_file"
    make_plan(recipe(tmp_path, **{**told, "cache_dir": tmp_path / "new" / "cache"}))
    assert not (tmp_path / "new").exists()


def test_the_plan_tells_captions_tokens_and_prompts(tmp_path: Path) -> None:
    first = recipe(tmp_path)
    pictures = tmp_path / "pictures"
    (pictures / "0.txt").write_text("a cat " + "on a mat " * 40)
    (pictures / "1.txt").write_text("cat, asleep")
    (adapter,) = make_plan(first).summary()["adapters"]
    assert adapter["captions"] == {"file": 2, "trigger": 2}
    # The playground counts on its own: 123 words and a comma put after the trigger.
    assert (adapter["tokens"]["cut"], adapter["tokens"]["limit"]) == (1, 75)
    assert adapter["tokens"]["longest"] > 120
    assert len(adapter["prompts"]) == 3
    assert adapter["prompts"][1:] == ["cat, asleep", "cat"]


def test_an_adapter_called_like_the_step_file_of_another(tmp_path: Path) -> None:
    folder = recipe(tmp_path).adapters[0].data.train_data_dir
    tables = [
        {"name": name, "train_data_dir": folder, "trigger": "cat"}
        for name in ("cat", "cat-step00000005")
    ]
    make_plan(recipe(tmp_path, data=None, adapters=tables))
    with pytest.raises(UsageError, match="cat-step00000005"):
        make_plan(recipe(tmp_path, data=None, adapters=tables, save_every_n_steps=5))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"resolution": 130}, "multiples of 32"),
        ({"clip_skip": 3}, "1 to 2"),
        ({"sample_prompts": ["a cat --w 40"]}, "multiples of 32"),
        ({"sample_prompts": ["a cat --s 1000"]}, "999 or fewer"),
    ],
)
def test_what_the_base_does_not_have(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    make_plan(recipe(tmp_path)).check_fit(GEOMETRY)
    with pytest.raises(UsageError, match=told):
        make_plan(recipe(tmp_path, **options)).check_fit(GEOMETRY)


def pictures(tmp_path: Path, *sizes: tuple[int, int], name: str = "shapes") -> Path:
    folder = tmp_path / name
    folder.mkdir()
    for number, size in enumerate(sizes):
        Image.new("RGB", size).save(folder / f"{number}.png")
    return folder


def test_the_plan_counts_batches_by_bucket(tmp_path: Path) -> None:
    folder = pictures(tmp_path, *[(128, 128)] * 3, (256, 64), (250, 64))
    (plan,) = make_plan(recipe(tmp_path, data=folder, max_train_epochs=2)).adapters
    assert (plan.uses_per_epoch, plan.steps_per_epoch, plan.steps) == (5, 3, 6)
    wide, square = sorted(plan.summary()["buckets"], key=lambda each: each["images"])
    assert (wide["size"], wide["images"], wide["batches"]) == ([256, 64], 2, 1)
    assert (square["size"], square["images"], square["batches"]) == ([128, 128], 3, 2)
    # 250x64 covers 256x64 by its width: 65.5 rows, rounded to 66, of which 64 stay.
    assert (wide["most_cut"], square["cut"]) == (round(1 - 64 / 66, 4), 0)

    one = recipe(tmp_path, data=folder, enable_bucket=False)
    (plan,) = make_plan(one).adapters
    assert set(plan.sizes) == {(128, 128)}
    assert plan.steps_per_epoch == 3


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"bucket_reso_steps": 48}, "bucket.step"),
        ({"min_bucket_reso": 256, "max_bucket_reso": 1024}, "bucket.bounds"),
    ],
)
def test_buckets_that_the_base_does_not_have(
    tmp_path: Path, options: dict[str, Any], code: str
) -> None:
    with pytest.raises(UsageError) as caught:
        make_plan(recipe(tmp_path, **options))
    assert caught.value.code == code
    assert caught.value.code != "bucket.bounds" or all(
        said in caught.value.message(language)
        for language in ("en", "ko")
        for said in ("128x128", "--min_bucket_reso", "--max_bucket_reso", "128", "256")
    )


def test_regularisation_pictures_add_no_steps(tmp_path: Path) -> None:
    folder = pictures(tmp_path, *[(128, 128)] * 7, name="class")
    before = make_plan(recipe(tmp_path)).adapters[0].summary()
    wanted = recipe(tmp_path, reg_data_dir=folder, class_prompt="a cat")
    after = make_plan(wanted).adapters[0].summary()
    assert (before["images"], before["regularisation"]) == (4, None)
    assert (after["images"], after["regularisation"]) == (4, 7)
    assert after["steps_per_epoch"] == before["steps_per_epoch"] == 2


def test_the_plan_counts_the_files_to_be_written(tmp_path: Path) -> None:
    wanted = recipe(
        tmp_path,
        save_every_n_steps=3,
        save_every_n_epochs=2,
        save_precision="fp16",
        sample_prompts=["a cat", "a dog --w 64 --h 64"],
        sample_every_n_epochs=2,
        sample_at_first=True,
    )
    plan = make_plan(wanted)
    (adapter,) = plan.adapters
    saved = [step for step in range(1, 11) if adapter.outputs(wanted).path_after(step)]
    told = plan.summary()
    assert told["checkpoints"]["count"] == len(saved) == 6
    assert told["checkpoints"]["bytes"] == 6 * 2 * adapter.numbers
    # At first, after steps 4 and 8, and at the end.
    assert told["samples"] == {"count": 8, "most_bytes": 3 * 4 * (128 * 128 + 64 * 64)}


@pytest.mark.parametrize(
    "network",
    [{}, {"conv_dim": 2}, {"network_train_unet_only": True}],
)
def test_the_numbers_of_an_adapter_are_known_before_loading(
    tmp_path: Path, tiny_base: Path, network: dict[str, Any]
) -> None:
    wanted = recipe(tmp_path, model=str(tiny_base), network_dim=3, **network)
    plan = make_plan(wanted)
    adapter = new_adapter(load_model(tiny_base), plan.adapters[0], "")
    numbers = sum(part.numel() for d in adapter.deltas.values() for part in d.parts().values())
    assert plan.adapters[0].numbers == numbers
    memory = plan.summary()["memory"]
    assert memory["adapters_bytes"] == 16 * numbers
    weights = [p for net in load_model(tiny_base).networks.values() for p in net.parameters()]
    assert memory["base_bytes"] == 4 * sum(weight.numel() for weight in weights)
    assert memory["total_bytes"] > memory["base_bytes"] + memory["adapters_bytes"]


@pytest.mark.parametrize(
    ("name", "is_good", "expected"),
    [
        ("auto", True, "bf16"),
        ("auto", False, "fp32"),
        ("fp32", True, "fp32"),
        ("bf16", False, "bf16"),
    ],
)
def test_the_memory_is_told_for_the_numbers_that_the_device_takes(
    tmp_path: Path,
    tiny_base: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    is_good: bool,
    expected: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: is_good)
    precision = precision_of(name, torch.device("cuda"))
    assert precision == expected
    plan = make_plan(recipe(tmp_path, model=str(tiny_base)))
    assumed, known = plan.summary(), replace(plan, precision=precision).summary()
    assert (assumed["precision"], known["precision"]) == (None, expected)
    halves = 2 if expected == "bf16" else 1
    for part, factor in (("base_bytes", halves), ("activations_bytes", halves)):
        assert known["memory"][part] * factor == pytest.approx(assumed["memory"][part], abs=1)
    assert known["memory"]["adapters_bytes"] == assumed["memory"]["adapters_bytes"]


def test_a_dry_run_tells_the_precision_of_this_device(tmp_path: Path, tiny_base: Path) -> None:
    wanted = recipe(tmp_path, model=str(tiny_base), dry_run=True, device="cpu")
    (planned,) = (event for event in train(wanted) if isinstance(event, Planned))
    assert planned.plan["precision"] == "fp32"
