"""The job of drawing pictures, from prompts to files."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.lora import Lora
from loraloom.adapters.site import Site
from loraloom.errors import LoraLoomError, MemoryRanOut, ModelError, OutputError, UsageError
from loraloom.events import Advanced, Event, Finished, PhaseStarted, Planned, Sampled, Warned
from loraloom.formats.files import write_adapter
from loraloom.formats.summary import describe
from loraloom.generation.images import read_infotext
from loraloom.generation.infotext import Infotext
from loraloom.jobs import pictures
from loraloom.jobs.drawing_options import DrawingOptions, GenerateOptions
from loraloom.jobs.generate import generate
from loraloom.jobs.keys import index, keys_of
from loraloom.jobs.settling import Given, settle

from ..tiny_base import random_adapter

Make = Callable[..., DrawingOptions]


def run(drawing: DrawingOptions, *prompts: str, num_images: int = 1) -> list[Event]:
    options = GenerateOptions(prompts=prompts, num_images=num_images, drawing=drawing)
    return list(generate(options))


def paths(events: list[Event]) -> list[Path]:
    return [event.path for event in events if isinstance(event, Sampled)]


def pixels(path: Path) -> Any:
    with Image.open(path) as picture:
        return np.asarray(picture, dtype=int)


def test_files_and_events(drawing: Make, tmp_path: Path) -> None:
    events = run(drawing(), "a red house <lora:one:0.8>", "a cat", num_images=2)
    folder = tmp_path / "outputs"
    expected = [folder / f"{number:05d}-{seed}.png" for number, seed in enumerate((42, 43) * 2)]
    assert paths(events) == expected
    assert isinstance(events[0], Planned)
    assert events[0].plan["seed"] == 42
    assert events[0].plan["loras"].keys() == {"one"}
    ended = events[-1]
    assert isinstance(ended, Finished)
    assert (ended.outputs, ended.interrupted) == (tuple(expected), False)
    total = next(e.total for e in events if isinstance(e, PhaseStarted) and e.phase == "sampling")
    done = [event.done for event in events if isinstance(event, Advanced)]
    assert done == sorted(done)
    assert done[-1] == total
    assert pixels(expected[0]).shape == (16, 16, 3)


def test_the_next_run_counts_on(drawing: Make) -> None:
    first = paths(run(drawing(), "a cat"))
    second = paths(run(drawing(), "a cat"))
    assert [path.name for path in first + second] == ["00000-42.png", "00001-42.png"]
    again = paths(run(drawing(overwrite=True, cfg_scale=1.0), "a cat"))
    assert again == first
    assert (pixels(first[0]) != pixels(second[0])).any()


def test_infotext_tells_how_the_picture_was_made(drawing: Make, lora_folder: Path) -> None:
    options = drawing(negative_prompt="흐림", sampler="DPM++ 2M Karras", width=24, clip_skip=2)
    path = paths(run(options, "집 <lora:one:0.8:0.5>"))[0]
    text = Infotext.parse(read_infotext(path) or "")
    hashes = describe(lora_folder / "one.safetensors").hashes
    assert text.prompt == "집 <lora:one:0.8:0.5>"
    assert text.negative_prompt == "흐림"
    assert text.lora_hashes == {"one": hashes["one.safetensors"].autov3}
    shown = ("Sampler", "Schedule type", "Seed", "Size", "Model", "Clip skip")
    assert [text.fields[key] for key in shown] == ["DPM++ 2M", "Karras", "42", "24x16", "tiny", "2"]


def test_one_batch_may_hold_any_mixes(drawing: Make) -> None:
    prompts = ["a house", "a house <lora:one:1>", "a house <lora:one:.5><lora:two:-1:.5>"]
    together = [pixels(path) for path in paths(run(drawing(batch_size=3), *prompts))]
    alone = [pixels(path) for path in paths(run(drawing(batch_size=1), *prompts))]
    for one, other in zip(together, alone, strict=True):
        assert abs(one - other).max() <= 1
    assert abs(together[0] - together[1]).max() > 5


def test_a_lora_at_zero_is_the_base(drawing: Make) -> None:
    bare, zero = (
        pixels(paths(run(drawing(), prompt))[0]) for prompt in ("a cat", "a cat<lora:one:0>")
    )
    assert (bare == zero).all()


def test_a_random_seed_is_told(drawing: Make) -> None:
    events = run(drawing(seed=-1), "a cat")
    planned, path = events[0], paths(events)[0]
    assert isinstance(planned, Planned)
    assert path.name == f"00000-{planned.plan['seed']}.png"
    assert planned.plan["seed"] != -1


def test_what_the_author_should_know(drawing: Make) -> None:
    prompt = "a (red:1.2) car <hypernet:x:1> " + "house " * 80
    events = run(drawing(negative_prompt="<lora:one:1>"), prompt)
    codes = {event.code for event in events if isinstance(event, Warned)}
    assert codes == {
        "prompt.emphasis",
        "prompt.unknown_tag",
        "prompt.tag_in_negative",
        "prompt.too_long",
    }


def test_asked_to_stop(drawing: Make) -> None:
    options = GenerateOptions(prompts=("a cat", "a dog"), drawing=drawing(batch_size=1, steps=4))
    seen: list[Event] = []
    for event in generate(options, stop=lambda: bool(paths(seen))):
        seen.append(event)
    ended = seen[-1]
    assert isinstance(ended, Finished)
    assert ended.interrupted
    assert list(ended.outputs) == paths(seen)
    assert len(paths(seen)) == 1


@pytest.mark.parametrize(
    ("prompt", "changes", "error", "told"),
    [
        ("<lora:onee:1>", {}, ModelError, "one"),
        ("<lora:one:strong>", {}, UsageError, "strong"),
        ("a cat", {"sampler": "Eulr"}, UsageError, "Euler"),
        ("a cat", {"width": 18}, UsageError, "multiples of 4"),
        ("a cat", {"clip_skip": 9}, UsageError, "1 to 2"),
        ("a cat", {"model": "nowhere at all"}, ModelError, "nowhere at all"),
        ("a cat", {"device": "tpu9"}, UsageError, "tpu9"),
    ],
)
def test_what_cannot_be_drawn(
    drawing: Make, prompt: str, changes: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        run(drawing(**changes), prompt)


@pytest.mark.parametrize(
    ("prompt", "changes", "told"),
    [
        ("<lora:onee:1>", {}, "did you mean one"),
        ("<lora:broken:1>", {}, "is a text file, not an adapter"),
        ("<lora:sdxl:1>", {}, "made for sdxl"),
        ("<lora:deep:1>", {}, r"down_blocks\.2.*does not have"),
        ("<lora:wide:1>", {}, r"mlp\.fc2.*made for \(32, 65\)"),
        ("<lora:one:abc>", {}, "abc"),
        ("a cat", {"model": "nowhere at all"}, "nowhere at all"),
        ("a cat", {"width": 18}, "multiples of 4"),
        ("a cat", {"clip_skip": 9}, "1 to 2"),
        ("a cat", {"steps": 1000}, "999 or fewer"),
    ],
)
def test_what_is_wrong_is_found_before_anything_is_loaded(
    drawing: Make,
    strange_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    prompt: str,
    changes: dict[str, Any],
    told: str,
) -> None:
    monkeypatch.setattr(pictures, "draw", pytest.fail)
    with pytest.raises(LoraLoomError, match=told):
        run(drawing(lora_dir=(strange_folder,), **changes), prompt)


@pytest.fixture
def strange_folder(lora_folder: Path, tmp_path: Path) -> Path:
    """Return a folder with good adapters, a broken one, and some for other architectures."""
    folder = tmp_path / "loras"
    shutil.copytree(lora_folder, folder)
    (folder / "broken.safetensors").write_bytes(b"not an adapter")
    other = random_adapter("sdxl", 3).with_card(family="sdxl")
    write_adapter(other, folder / "sdxl.safetensors", "diffusers")
    adapter = random_adapter("deep", 3)
    deep = {
        Site(site.part, site.path.replace("down_blocks.0", "down_blocks.2")): delta
        for site, delta in adapter.deltas.items()
    }
    write_adapter(Adapter(deltas=deep, card=adapter.card), folder / "deep.safetensors")
    site = Site("text_encoder", "text_model.encoder.layers.0.mlp.fc2.weight")
    wide = {site: Lora(torch.ones(4, 65), torch.ones(32, 4), alpha=4.0)}
    write_adapter(Adapter(deltas=wide, card=adapter.card), folder / "wide.safetensors")
    return folder


@pytest.mark.parametrize(
    ("prompt", "first"),
    [("a cat <lora:one:1>", "Planned"), ("a cat <lora:sdxl:1>", "ModelError")],
)
def test_the_plan_and_its_errors_come_before_torch_is_imported(
    drawing: Make, strange_folder: Path, prompt: str, first: str
) -> None:
    program = """
import sys
from loraloom.errors import LoraLoomError
from loraloom.jobs.generate import GenerateOptions, generate
try:
    print(type(next(generate(GenerateOptions.model_validate_json(sys.stdin.read())))).__name__)
except LoraLoomError as error:
    print(type(error).__name__)
assert not {"torch", "diffusers", "transformers"} & set(sys.modules)
"""
    options = GenerateOptions(prompts=(prompt,), drawing=drawing(lora_dir=(strange_folder,)))
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=options.model_dump_json(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == first


def test_a_place_that_cannot_be_written_is_found_first(drawing: Make, tmp_path: Path) -> None:
    (tmp_path / "outputs").write_bytes(b"precious")
    with pytest.raises(OutputError, match="is a file"):
        next(generate(GenerateOptions(prompts=("a cat",), drawing=drawing())))
    (tmp_path / "more" / "00000-42.png").mkdir(parents=True)
    taken = drawing(output_dir=tmp_path / "more", overwrite=True)
    with pytest.raises(OutputError, match=r"00000-42\.png"):
        next(generate(GenerateOptions(prompts=("a cat",), drawing=taken)))


def test_the_plan_tells_the_first_file(drawing: Make, tmp_path: Path) -> None:
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "00004-1.png").touch()
    planned = next(generate(GenerateOptions(prompts=("a cat",), drawing=drawing())))
    assert isinstance(planned, Planned)
    assert planned.plan["first_file"] == "00005-42.png"


def test_a_pickle_that_is_refused_is_found_before_the_model(
    drawing: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(print))
    monkeypatch.setattr(pictures, "open_base", pytest.fail)
    with pytest.raises(ModelError, match="evil"):
        run(drawing(lora_dir=(tmp_path,)), "<lora:evil:1>")


def test_too_little_memory(drawing: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def allocate(*arguments: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(pictures, "open_base", allocate)
    with pytest.raises(MemoryRanOut, match="--batch_size 1"):
        run(drawing(), "a cat")


def test_adapters_of_other_architectures(drawing: Make, tmp_path: Path) -> None:
    adapter = random_adapter("other", 3)
    folder = tmp_path / "strange"
    write_adapter(adapter.with_card(family="sdxl"), folder / "sdxl.safetensors", "diffusers")
    missing = {
        type(site)(site.part, site.path.replace("down_blocks.0", "down_blocks.2")): delta
        for site, delta in adapter.deltas.items()
    }
    write_adapter(
        Adapter(deltas=missing, card=adapter.card), folder / "deep.safetensors", "diffusers"
    )
    for name, told in (("sdxl", "sdxl"), ("deep", "down_blocks.2")):
        with pytest.raises(ModelError, match=told) as caught:
            run(drawing(lora_dir=(folder,)), f"<lora:{name}:1>")
        assert name in caught.value.message("ko")


def test_options_by_the_names_of_other_tools(tiny_base: Path) -> None:
    keys = index(keys_of(GenerateOptions))
    spelled = {
        "prompt": "a cat",
        "pretrained_model_name_or_path": str(tiny_base),
        "num_inference_steps": 7,
        "guidance_scale": 3.5,
        "sampler_name": "Euler a",
        "batch_count": 3,
    }
    given = {keys[name].name: Given(spelling=name, value=v) for name, v in spelled.items()}
    options = settle(GenerateOptions, given)
    assert options.prompts == ("a cat",)
    assert (options.num_images, options.drawing.steps, options.drawing.cfg_scale) == (3, 7, 3.5)
    assert options.drawing.sampler_labels() == ("Euler a", "Automatic")
    with pytest.raises(UsageError, match="playground"):
        settle(GenerateOptions, {"prompts": given["prompts"]})
