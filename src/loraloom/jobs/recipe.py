"""A recipe: every option of a training run, for one adapter or several."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, final

from pydantic import BeforeValidator, model_validator

from loraloom.data.options import DataOptions
from loraloom.errors import LoraLoomError, UsageError
from loraloom.events import Warned
from loraloom.jobs.cache_options import CACHE_DIR
from loraloom.jobs.dataset.file import with_dataset_file
from loraloom.jobs.gathering import gather
from loraloom.jobs.keys import Key, index, keys_of
from loraloom.jobs.layers import flag_layer, read_layer
from loraloom.jobs.naming import named
from loraloom.jobs.sample_prompts import parse_sample_prompt
from loraloom.jobs.settling import collect, raise_all, settle
from loraloom.jobs.text_file import read_text
from loraloom.jobs.toml import lines_of
from loraloom.models.options import DeviceName, ModelName, TrainingPrecision, precision
from loraloom.options import AbstractOptions, option
from loraloom.training.options import NetworkOptions, OptimizerOptions, TrainingOptions

# File systems allow 255 bytes; ".run" and the numbers that others append want room.
_LONGEST_RUN_NAME: Final = 200
_ONCE: Final = ("overwrite", "dry_run", "measure")


def _prompts(value: Any) -> Any:
    """Put the lines of a `.txt` file in its place; `#` begins a comment line, as in sd-scripts."""
    found: list[Any] = []
    for item in value:
        if not (isinstance(item, str) and item.lower().endswith(".txt")):
            found.append(item)
            continue
        try:
            lines = read_text(item).splitlines()
        except OSError as error:
            raise UsageError(
                "recipe.prompts_unreadable", path=item, reason=error.strerror
            ) from error
        except UnicodeDecodeError as error:
            raise UsageError("recipe.prompts_unreadable", path=item, reason=error) from error
        found.extend(s for line in lines if (s := line.strip()) and not s.startswith("#"))
    for prompt in found:
        if isinstance(prompt, str):
            parse_sample_prompt(prompt)  # a mistake in one is told now, not after the first steps
    return tuple(found)


@final
class AdapterOptions(AbstractOptions):
    """Everything that one adapter of a run may have of its own."""

    name: str = option(
        en="Name of the adapter and of its file.",
        ko="어댑터와 그 파일의 이름.",
        aliases=("output_name",),
        min_length=1,
    )
    data: DataOptions
    network: NetworkOptions
    optimizer: OptimizerOptions
    training: TrainingOptions


@final
class Recipe(AbstractOptions):
    """The options of the run, and one or several adapters trained in it over one frozen base."""

    pretrained_model_name_or_path: ModelName
    output_dir: Path = option(
        Path("output"),
        en="Folder that receives the adapter files and the run's own folder.",
        ko="어댑터 파일과 실행 기록 폴더가 놓일 폴더.",
        aliases=("o",),
    )
    output_name: str | None = option(
        None,
        en="Name of the run, and of its adapter where there is one; without it, the trigger word "
        "or the training folder's name.",
        ko="실행의 이름이며 어댑터가 하나면 그 이름도 됩니다. 지정하지 않으면 트리거 단어나 "
        "학습 폴더의 이름을 씁니다.",
        aliases=("name",),
        min_length=1,
    )
    save_format: Literal["kohya", "diffusers", "peft"] = option(
        "kohya",
        en="Naming of the weights in the file; kohya's is read by web UIs.",
        ko="파일 안의 가중치 이름 방식. kohya 방식은 웹 UI에서 읽을 수 있습니다.",
        aliases=("save_as",),
    )
    save_precision: Annotated[Literal["fp32", "fp16", "bf16"], BeforeValidator(precision)] = option(
        "fp32",
        en="Number type in the file; fp16 halves it.",
        ko="파일에 저장할 수의 형식. fp16은 크기를 절반으로 줄입니다.",
    )
    save_every_n_steps: int | None = option(
        None,
        en="Save the adapter every so many steps, besides at the end.",
        ko="끝날 때 외에 이 스텝마다 어댑터를 저장합니다.",
        aliases=("save_every", "checkpointing_steps"),
        unit="steps",
        ge=1,
        le=10**9,
    )
    save_every_n_epochs: int | None = option(
        None,
        en="Save the adapter every so many epochs, besides at the end.",
        ko="끝날 때 외에 이 에포크마다 어댑터를 저장합니다.",
        unit="epochs",
        ge=1,
        le=10**6,
    )
    sample_prompts: Annotated[tuple[str, ...], BeforeValidator(_prompts)] = option(
        (),
        en="Prompts to draw with the adapter as it is; a name ending in .txt is a file with one "
        "per line. --n, --w, --h, --d, --l and --s inside a prompt mean what they do in kohya's.",
        ko="학습 중인 어댑터로 그려 볼 프롬프트. .txt로 끝나면 한 줄에 하나씩 적은 파일입니다. "
        "프롬프트 안의 --n, --w, --h, --d, --l, --s는 kohya와 같은 뜻입니다.",
        aliases=("sample_prompt", "validation_prompt", "validation_prompts"),
    )
    sample_every_n_steps: int | None = option(
        None,
        en="Draw the sample prompts every so many steps, besides at the end.",
        ko="끝날 때 외에 이 스텝마다 샘플 프롬프트를 그립니다.",
        aliases=("sample_every", "validation_steps"),
        unit="steps",
        ge=1,
        le=10**9,
    )
    sample_every_n_epochs: int | None = option(
        None,
        en="Draw the sample prompts every so many epochs, besides at the end.",
        ko="끝날 때 외에 이 에포크마다 샘플 프롬프트를 그립니다.",
        aliases=("validation_epochs",),
        unit="epochs",
        ge=1,
        le=10**6,
    )
    sample_at_first: bool = option(
        False,
        en="Draw the sample prompts before the first step too, to see the base alone.",
        ko="첫 스텝 전에도 샘플을 그려 기본 모델만의 결과를 봅니다.",
    )
    cache_latents: bool | None = option(
        None,
        en="Encode each picture once instead of at each use; without it, on unless color_aug is.",
        ko="이미지를 쓸 때마다가 아니라 한 번만 잠재 벡터로 바꿉니다. 지정하지 않으면 "
        "color_aug가 꺼져 있을 때 켜집니다.",
    )
    cache_latents_to_disk: bool = option(
        False,
        en="Keep the encoded pictures on the disk, for later runs and for more pictures than the "
        "memory holds.",
        ko="바꾼 잠재 벡터를 디스크에 두어 다음 실행에도 쓰고, 메모리보다 많은 이미지도 다룹니다.",
    )
    cache_dir: Path | None = CACHE_DIR
    device: DeviceName = "auto"
    mixed_precision: TrainingPrecision = "auto"
    overwrite: bool = option(
        False,
        en="Replace files of an earlier run that has the same name.",
        ko="이름이 같은 이전 실행의 파일을 덮어씁니다.",
    )
    dry_run: bool = option(
        False,
        en="Check everything and show the plan, without training.",
        ko="학습하지 않고 모든 것을 검사해 계획만 보여 줍니다.",
    )
    measure: bool = option(
        False,
        en="Like dry_run, and take two steps in memory to tell how long the run will take.",
        ko="dry_run처럼 계획만 보여 주되, 메모리에서 두 스텝을 돌려 걸릴 시간도 알려 줍니다.",
    )
    adapters: tuple[AdapterOptions, ...]

    @model_validator(mode="after")
    def _cached_or_not(self) -> Self:
        if self.cache_latents_to_disk and self.cache_latents is False:
            raise UsageError("cache.disk_without_cache")
        return self

    @classmethod
    def load(cls, *paths: Path | str, overrides: Mapping[str, Any] | None = None) -> Self:
        """Return the recipe of TOML files in rising precedence, then `overrides` by any name.

        `overrides["adapters"]` may be a list of mappings, one per adapter. Everything that is off
        is told in one `UsageError`.
        """
        return cls.read(*paths, overrides=overrides)[0]

    @classmethod
    def read(
        cls, *paths: Path | str, overrides: Mapping[str, Any] | None = None
    ) -> tuple[Self, tuple[Warned, ...]]:
        """Do as `load`, and return also what a person should know about the keys given."""
        files = [read_layer(Path(path)) for path in paths]
        gathered = gather(files, flag_layer(overrides or {}), *known_keys())
        tables = named([with_dataset_file(table) for table in gathered.adapters])
        errors: list[LoraLoomError] = []
        adapters = collect(errors, (partial(settle, AdapterOptions, table) for table in tables))
        runs = collect(errors, [partial(settle, cls, gathered.run, adapters=adapters)])
        raise_all(errors)
        return runs[0], gathered.notes

    @property
    def run_name(self) -> str:
        """The name of the run: as given, else its adapters' names, as far as a folder can bear."""
        names = [adapter.name for adapter in self.adapters]
        if self.output_name is not None:
            return self.output_name
        joined = "+".join(names)
        if len(names) <= 3 and len(joined.encode()) <= _LONGEST_RUN_NAME:
            return joined
        return f"{names[0]}+{len(names) - 1}"

    @property
    def run_dir(self) -> Path:
        """The folder of everything about the run that is not an adapter file."""
        return self.output_dir / f"{self.run_name}.run"

    def to_toml(self) -> str:
        """Return the recipe as a file that loads to the same recipe.

        Left out is what asks about one start of the program: `overwrite`, `dry_run` and
        `measure`.
        """
        lines = list(lines_of(self, without=_ONCE, notes={}))
        for adapter in self.adapters:
            network, rate = adapter.network, adapter.optimizer.learning_rate
            notes = {
                "network_alpha": f"{network.alpha}, half of network_dim",
                "unet_lr": f"{rate}, as learning_rate",
                "text_encoder_lr": f"{rate}, as learning_rate",
            }
            lines += ["", "[[adapters]]", *lines_of(adapter, notes=notes)]
        return "\n".join(lines) + "\n"


@cache
def known_keys() -> tuple[Mapping[str, Key], Mapping[str, Key]]:
    """Return the keys of the run and those of an adapter, by spelling."""
    return index(keys_of(Recipe)), index(keys_of(AdapterOptions))
