"""The options of `preprocess`."""

from __future__ import annotations

from pathlib import Path
from typing import final

from loraloom.data.options import (
    CAPTION_COLUMN,
    CAPTION_ENCODING,
    CAPTION_EXTENSION,
    MOST_ENLARGED,
    RECURSIVE,
    CaptionEncoding,
    CaptionExtension,
)
from loraloom.jobs.dataset.options import GoalName
from loraloom.options import AbstractOptions, option


@final
class PreprocessOptions(AbstractOptions):
    """Which styles, from where, for which model."""

    styles: tuple[str, ...] = option(
        en="NAME=FOLDER: a style and the folder of its pictures; --NAME_dir FOLDER is the same.",
        ko="이름=폴더: 스타일과 그 이미지 폴더. --이름_dir 폴더와 같습니다.",
        aliases=("style",),
        min_length=1,
    )
    output_dir: Path = option(
        Path("data"),
        en="Folder that receives a training folder for each style.",
        ko="스타일마다 학습 폴더를 만들 폴더.",
        aliases=("o",),
    )
    trigger: tuple[str, ...] = option(
        (),
        en="NAME=WORD: the trigger of a style; without it anistyle, wcstyle and cartoonstyle for "
        "anime, watercolor and cartoon, else the name and style.",
        ko="이름=단어: 스타일의 트리거. 지정하지 않으면 anime, watercolor, cartoon은 anistyle, "
        "wcstyle, cartoonstyle이고 나머지는 이름 뒤에 style을 붙입니다.",
        aliases=("triggers",),
    )
    resolution: int | None = option(
        None,
        en="Side of the training size; pictures are scaled to its area. Without it, the model's, "
        "or 512.",
        ko="학습 크기의 한 변. 이미지를 그 넓이에 맞춥니다. 지정하지 않으면 모델의 크기나 512를 "
        "씁니다.",
        unit="px",
        ge=8,
        le=65536,
    )
    model: str | None = option(
        None,
        en="Base model to train on, which sets the resolution.",
        ko="학습할 기본 모델. 해상도를 정합니다.",
        aliases=("pretrained_model_name_or_path", "m", "name_or_path", "base_model"),
        min_length=1,
    )
    num_repeats: int = option(
        1,
        en="Repeats of an epoch, written into the name of the training folder as kohya does.",
        ko="에포크당 반복 횟수. kohya 방식으로 학습 폴더 이름에 적습니다.",
        aliases=("repeats",),
        unit="times",
        ge=1,
        le=10**6,
    )
    goal: GoalName = option(
        "style",
        en="What is to be taught; it sets how many pictures are advised.",
        ko="가르칠 대상. 권하는 이미지 수가 이에 따라 정해집니다.",
    )
    max_enlargement: float = option(
        MOST_ENLARGED,
        en="Pictures that would have to be enlarged more than this many times are refused.",
        ko="이 배수보다 크게 확대해야 하는 이미지는 쓸 수 없는 것으로 봅니다.",
        unit="times",
        ge=1,
    )
    skip_unusable: bool = option(
        False,
        en="Leave out pictures that cannot be used, and list them; without it, they stop the job "
        "before anything is written.",
        ko="쓸 수 없는 이미지를 빼고 목록에 적습니다. 지정하지 않으면 아무것도 쓰기 전에 멈춥니다.",
    )
    recursive: bool = RECURSIVE
    caption_extension: CaptionExtension = CAPTION_EXTENSION
    caption_column: str | None = CAPTION_COLUMN
    caption_encoding: CaptionEncoding | None = CAPTION_ENCODING
