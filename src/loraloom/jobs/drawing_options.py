"""The options of the jobs that draw pictures from prompts."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import final

from loraloom.generation.samplers import find_sampler
from loraloom.models.options import ClipSkip, DeviceName, ModelName, Precision
from loraloom.options import AbstractOptions, option

_RANDOM_SEEDS = 2**32


@final
class DrawingOptions(AbstractOptions):
    """Model, LoRA folders, and how pictures are sampled."""

    model: ModelName
    lora_dir: tuple[Path, ...] = option(
        (Path("."),),
        en="Folder in which LoRAs named in prompts are looked up, with all below it; may be "
        "repeated.",
        ko="프롬프트에 적은 LoRA를 찾을 폴더. 하위 폴더까지 찾으며 여러 번 쓸 수 있습니다.",
        aliases=("lora_dirs",),
    )
    negative_prompt: str = option(
        "",
        en="What the pictures should not show.",
        ko="그림에 나오지 않았으면 하는 것.",
        aliases=("n", "negative", "neg"),
    )
    seed: int = option(
        -1,
        en="Number that fixes the noise a picture begins with; -1 takes a new one and tells it.",
        ko="그림이 시작되는 노이즈를 정하는 수. -1이면 새로 뽑아 알려 줍니다.",
        ge=-1,
        lt=2**63,
    )
    steps: int = option(
        20,
        en="Denoising steps; more is finer and slower.",
        ko="노이즈를 걷어내는 스텝 수. 많을수록 세밀하고 느립니다.",
        aliases=("num_inference_steps", "sample_steps"),
        unit="steps",
        ge=1,
        le=10**6,
    )
    cfg_scale: float = option(
        7.0,
        en="How closely the prompt is followed; 1 or less leaves guidance and the negative "
        "prompt out.",
        ko="프롬프트를 따르는 정도. 1 이하이면 가이던스와 네거티브 프롬프트를 쓰지 않습니다.",
        aliases=("guidance_scale", "scale"),
    )
    sampler: str = option(
        "DPM++ 2M",
        en="Sampler by its name in web UIs: DPM++ 2M, Euler, Euler a, DDIM, UniPC and others.",
        ko="웹 UI에서 쓰는 샘플러 이름: DPM++ 2M, Euler, Euler a, DDIM, UniPC 등.",
        aliases=("sampler_name", "sample_sampler"),
    )
    schedule: str = option(
        "Automatic",
        en="How steps are spread over the noise: Automatic, Uniform, Karras, Exponential or SGM "
        "Uniform.",
        ko="스텝을 노이즈 위에 나누는 방식: Automatic, Uniform, Karras, Exponential, SGM Uniform.",
        aliases=("scheduler", "schedule_type"),
        hidden=True,
    )
    width: int | None = option(
        None,
        en="Width of the pictures; without it, the size that the model was made for.",
        ko="그림의 너비. 지정하지 않으면 모델의 크기를 씁니다.",
        unit="px",
        ge=1,
        le=65536,
    )
    height: int | None = option(
        None,
        en="Height of the pictures; without it, the size that the model was made for.",
        ko="그림의 높이. 지정하지 않으면 모델의 크기를 씁니다.",
        unit="px",
        ge=1,
        le=65536,
    )
    clip_skip: ClipSkip = 1
    batch_size: int = option(
        4,
        en="Pictures drawn at once, each with its own LoRAs; more is faster and needs memory.",
        ko="한 번에 그리는 그림 수. 그림마다 LoRA가 달라도 됩니다. 클수록 빠르고 메모리를 씁니다.",
        unit="pictures",
        ge=1,
        le=65536,
    )
    output_dir: Path = option(
        Path("outputs"),
        en="Folder that receives the pictures.",
        ko="그림이 놓일 폴더.",
        aliases=("o", "outdir"),
    )
    overwrite: bool = option(
        False,
        en="Begin the numbers of the files at 0 again, replacing files of the same name.",
        ko="파일 번호를 0부터 다시 매기고 같은 이름의 파일을 덮어씁니다.",
    )
    device: DeviceName = "auto"
    dtype: Precision = "auto"

    def first_seed(self) -> int:
        """Return the seed, drawn anew where none is asked for."""
        return secrets.randbelow(_RANDOM_SEEDS) if self.seed == -1 else self.seed

    def sampler_labels(self) -> tuple[str, str]:
        """Return the labels of sampler and schedule; unknown ones are a `UsageError`."""
        sampler, schedule = find_sampler(self.sampler, self.schedule)
        return sampler.label, schedule


@final
class GenerateOptions(AbstractOptions):
    """The options of `generate`."""

    prompts: tuple[str, ...] = option(
        en="What the pictures show; <lora:NAME:0.8> in a prompt adds a LoRA.",
        ko="그림에 담을 내용. 프롬프트에 <lora:이름:0.8>을 넣으면 LoRA를 씁니다.",
        aliases=("prompt", "p"),
        min_length=1,
    )
    num_images: int = option(
        1,
        en="Pictures per prompt; each takes the next seed.",
        ko="프롬프트마다 그릴 그림 수. 그림마다 다음 시드를 씁니다.",
        aliases=("n_iter", "batch_count", "num_images_per_prompt", "images_per_prompt"),
        unit="pictures",
        ge=1,
        le=10**6,
    )
    drawing: DrawingOptions


@final
class GridOptions(AbstractOptions):
    """The options of `grid`."""

    prompts: tuple[str, ...] = option(
        en="Prompts, one per row.",
        ko="프롬프트. 한 행에 하나씩 놓입니다.",
        aliases=("prompt", "p"),
        min_length=1,
    )
    mix: tuple[str, ...] = option(
        (),
        en="LoRAs of one column, like anime:0.8+watercolor:0.5; may be repeated.",
        ko="한 열의 LoRA 조합. 예: anime:0.8+watercolor:0.5. 여러 번 쓸 수 있습니다.",
        aliases=("mixes",),
    )
    labels: tuple[str, ...] = option(
        (),
        en="Names of the mixes over their columns, in the same order.",
        ko="열 위에 적을 조합의 이름. 조합과 같은 순서입니다.",
        aliases=("label",),
    )
    include_base: bool = option(
        True,
        en="Begin with a column of the base model alone.",
        ko="첫 열에 기본 모델만의 그림을 놓습니다.",
    )
    num_images: int = option(
        1,
        en="Rows per prompt; each takes the next seed.",
        ko="프롬프트마다 그릴 행의 수. 행마다 다음 시드를 씁니다.",
        aliases=("n_iter", "batch_count", "num_images_per_prompt", "images_per_prompt"),
        unit="rows",
        ge=1,
        le=10**6,
    )
    drawing: DrawingOptions
