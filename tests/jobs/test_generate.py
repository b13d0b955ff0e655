"""The job of drawing pictures, from prompts to files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loraloom.adapters.adapter import Adapter
from loraloom.errors import ModelError, UsageError
from loraloom.events import Advanced, Event, Finished, PhaseStarted, Planned, Sampled, Warned
from loraloom.formats.files import write_adapter
from loraloom.formats.summary import describe
from loraloom.generation.images import read_infotext
from loraloom.generation.infotext import Infotext
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
