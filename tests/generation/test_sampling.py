"""Sampling, against diffusers' own pipeline and against itself."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from loraloom.adapters.adapter import Adapter
from loraloom.adapters.attachment import attach
from loraloom.errors import UsageError
from loraloom.formats.files import read_adapter, write_adapter
from loraloom.generation.images import to_pictures
from loraloom.generation.request import ImageRequest, SamplingSettings
from loraloom.generation.samplers import SAMPLERS, find_sampler
from loraloom.generation.sampling import sample, sampling_steps
from loraloom.models.load import load_model
from loraloom.models.model import AbstractModel, Pixels

PROMPTS = ("a red house on a green hill", "a black cat sits beside a boat")
MIXES: Sequence[Mapping[str, float]] = ({}, {"one": 1.0}, {"one": 0.6}, {"one": 0.8, "two": 0.5})
ROUNDING = 1 / 255


def settings(**changes: Any) -> SamplingSettings:
    return SamplingSettings(**({"width": 16, "height": 16} | changes))


def request(mix: Mapping[str, float], prompt: str = PROMPTS[0], seed: int = 7) -> ImageRequest:
    worn = {name: {"unet": weight, "text_encoder": weight} for name, weight in mix.items()}
    return ImageRequest(prompt=prompt, negative_prompt="blurry", seed=seed, strengths=worn)


def pair(mix: Mapping[str, float]) -> list[ImageRequest]:
    """Return the two requests that the pipeline is given too."""
    return [request(mix, prompt, seed) for prompt, seed in zip(PROMPTS, (7, 8), strict=True)]


def draw(
    model: AbstractModel,
    adapters: Mapping[str, Adapter],
    requests: Sequence[ImageRequest],
    chosen: SamplingSettings | None = None,
) -> Pixels:
    with attach(model.networks, adapters, 0.0) as attachment:
        pixels = sample(model, attachment, requests, chosen or settings())
    assert pixels is not None
    return pixels


def bytes_of(pixels: Pixels) -> NDArray[np.int64]:
    return np.stack([np.asarray(picture, dtype=np.int64) for picture in to_pictures(pixels)])


def difference(one: Pixels, other: Pixels) -> float:
    """Return the largest difference on the scale where black to white is 1."""
    return float((one - other).abs().max() / 2)


@pytest.fixture(scope="module")
def files(adapters: Mapping[str, Adapter], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loras")
    for name, adapter in adapters.items():
        write_adapter(adapter, folder / f"{name}.safetensors", format="kohya")
    return folder


@pytest.fixture(scope="module")
def pipeline(tiny_base: Path, files: Path) -> Any:
    """Return diffusers' pipeline with our files loaded by diffusers."""
    loaded: Any = diffusers.StableDiffusionPipeline.from_pretrained(tiny_base)
    loaded.set_progress_bar_config(disable=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Already found a `peft_config`", UserWarning)
        for name in ("one", "two"):
            file = f"{name}.safetensors"
            loaded.load_lora_weights(str(files), weight_name=file, adapter_name=name)
    return loaded


def drawn_by(
    pipeline: Any, mix: Mapping[str, float], chosen: SamplingSettings
) -> NDArray[np.int64]:
    sampler, schedule = find_sampler(chosen.sampler, chosen.schedule)
    original = diffusers.PNDMScheduler.from_config(pipeline.scheduler.config)
    if mix:
        pipeline.enable_lora()
        pipeline.set_adapters(list(mix), list(mix.values()))
    else:
        pipeline.disable_lora()
    karras = {"use_karras_sigmas": True} if schedule == "Karras" else {}
    kind = getattr(diffusers, sampler.scheduler)
    pipeline.scheduler = kind.from_config(original.config, **sampler.settings, **karras)
    pictures = pipeline(
        list(PROMPTS),
        negative_prompt=["blurry"] * 2,
        width=chosen.width,
        height=chosen.height,
        num_inference_steps=chosen.steps,
        guidance_scale=chosen.cfg_scale,
        generator=[torch.Generator().manual_seed(seed) for seed in (7, 8)],
    ).images
    pipeline.scheduler = original
    return np.stack([np.asarray(picture, dtype=np.int64) for picture in pictures])


@pytest.mark.parametrize("mix", MIXES, ids=str)
@pytest.mark.parametrize("sampler", ["DDIM", "DPM++ 2M"])
def test_pictures_are_those_of_diffusers(
    tiny: AbstractModel, pipeline: Any, files: Path, sampler: str, mix: Mapping[str, float]
) -> None:
    chosen = settings(sampler=sampler, steps=8)
    read = {name: read_adapter(files / f"{name}.safetensors") for name in mix}
    ours = bytes_of(draw(tiny, read, pair(mix), chosen))
    assert abs(ours - drawn_by(pipeline, mix, chosen)).max() <= 2


@pytest.mark.parametrize(
    "chosen",
    [
        *({"sampler": label, "steps": 6} for label in SAMPLERS),
        {"sampler": "DPM++ 2M Karras", "steps": 6},
        {"sampler": "DDIM", "width": 24, "steps": 4},
        {"sampler": "DDIM", "cfg_scale": 1.0, "steps": 4},
    ],
    ids=str,
)
def test_every_sampler_and_setting_is_diffusers(
    tiny: AbstractModel, pipeline: Any, chosen: Mapping[str, Any]
) -> None:
    full = settings(**chosen)
    ours = bytes_of(draw(tiny, {}, pair({}), full))
    assert abs(ours - drawn_by(pipeline, {}, full)).max() <= 2


@pytest.mark.parametrize("sampler", ["DPM++ 2M", "Euler a"])
def test_one_batch_of_many_mixes_is_each_alone(
    tiny: AbstractModel, adapters: Mapping[str, Adapter], sampler: str
) -> None:
    chosen = settings(sampler=sampler, steps=4)
    requests = [request(mix, seed=number) for number, mix in enumerate([*MIXES, {"two": -0.5}])]
    together = draw(tiny, adapters, requests, chosen)
    for row, one in zip(together, requests, strict=True):
        alone = draw(tiny, adapters, [one], chosen)
        assert difference(row[None], alone) < ROUNDING / 10
    # Else equality, here and with diffusers, would say little.
    assert all(difference(together[:1], row[None]) > 20 / 255 for row in together[1:])


def test_strength_zero_is_the_base_bit_for_bit(
    tiny: AbstractModel, adapters: Mapping[str, Adapter]
) -> None:
    chosen = settings(steps=4)
    base = draw(tiny, {}, [request({})], chosen)
    assert torch.equal(draw(tiny, adapters, [request({"one": 0.0, "two": 0.0})], chosen), base)
    assert torch.equal(draw(tiny, adapters, [request({})], chosen), base)
    assert not torch.equal(draw(tiny, adapters, [request({"one": 0.01})], chosen), base)


def test_the_base_is_untouched_afterwards(
    tiny: AbstractModel, adapters: Mapping[str, Adapter]
) -> None:
    chosen = settings(steps=2)
    before = draw(tiny, {}, [request({})], chosen)
    draw(tiny, adapters, [request({"one": 1.0}), request({"two": 1.0})], chosen)
    assert torch.equal(draw(tiny, {}, [request({})], chosen), before)


def test_strengths_by_network(tiny: AbstractModel, adapters: Mapping[str, Adapter]) -> None:
    chosen = settings(steps=4)

    def worn(**parts: float) -> ImageRequest:
        return ImageRequest(prompt=PROMPTS[0], seed=7, strengths={"one": parts})

    both = draw(tiny, adapters, [worn(unet=1.0, text_encoder=1.0)], chosen)
    text = draw(tiny, adapters, [worn(text_encoder=1.0)], chosen)
    unet = draw(tiny, adapters, [worn(unet=1.0)], chosen)
    none = draw(tiny, adapters, [worn()], chosen)
    pictures = (both, text, unet, none)
    for number, one in enumerate(pictures):
        assert all(difference(one, other) > 0.02 for other in pictures[number + 1 :])


def test_without_guidance_the_negative_prompt_is_not_used(tiny: AbstractModel) -> None:
    requests = [
        ImageRequest(prompt=PROMPTS[0], negative_prompt=negative, seed=1)
        for negative in ("", "a green hill")
    ]
    plain = [draw(tiny, {}, [one], settings(steps=2, cfg_scale=1.0)) for one in requests]
    assert torch.equal(*plain)
    guided = [draw(tiny, {}, [one], settings(steps=2, cfg_scale=3.0)) for one in requests]
    assert not torch.equal(*guided)


def test_a_seed_is_a_picture(tiny: AbstractModel) -> None:
    pixels = draw(tiny, {}, [request({}, seed=seed) for seed in (1, 2, 1)], settings(steps=2))
    assert difference(pixels[:1], pixels[2:]) < ROUNDING / 10
    assert difference(pixels[:1], pixels[1:2]) > 0.1


def test_half_precision_draws_nearly_the_same(tiny_base: Path, tiny: AbstractModel) -> None:
    half = load_model(tiny_base, dtype=torch.bfloat16)
    pixels = draw(half, {}, [request({})], settings(steps=4))
    exact = draw(tiny, {}, [request({})], settings(steps=4))
    assert float((pixels.float() - exact).abs().mean()) / 2 < 0.05


def test_stop_is_asked_after_each_step(tiny: AbstractModel) -> None:
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == 3

    with attach(tiny.networks, {}) as attachment:
        assert sample(tiny, attachment, [request({})], settings(steps=9), stop=stop) is None
    assert len(asked) == 3


@pytest.mark.parametrize("sampler", ["DDIM", "Heun"])
def test_steps_are_counted_in_those_asked_for(tiny: AbstractModel, sampler: str) -> None:
    with attach(tiny.networks, {}) as attachment:
        done = list(
            sampling_steps(tiny, attachment, [request({})], settings(sampler=sampler, steps=5))
        )
    assert done == sorted(done)
    assert done[-1] == 4


def test_what_cannot_be_drawn(tiny: AbstractModel) -> None:
    with pytest.raises(UsageError, match="nobody"):
        draw(tiny, {}, [request({"nobody": 1.0})])
    with pytest.raises(UsageError, match="1000 steps"):
        draw(tiny, {}, [request({})], settings(steps=1000))
    with pytest.raises(UsageError, match="51 steps"):
        draw(tiny, {}, [request({})], settings(sampler="LCM", steps=51))
    with pytest.raises(UsageError, match="0 steps"):
        settings(steps=0)
    with pytest.raises(UsageError, match="multiples of 4"):
        draw(tiny, {}, [request({})], settings(width=18))
