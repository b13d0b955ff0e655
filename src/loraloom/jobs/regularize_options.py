"""The options of `regularize`."""

from __future__ import annotations

from pathlib import Path
from typing import final

from pydantic import model_validator

from loraloom.errors import UsageError
from loraloom.jobs.drawing_options import DrawingOptions
from loraloom.options import AbstractOptions, option

PER_PICTURE = 5
"""Class pictures per training picture where no number is asked for."""


@final
class RegularizeOptions(AbstractOptions):
    """What the class pictures show, how many there are, and how they are drawn."""

    class_prompt: str = option(
        en='What every class picture shows: the prompt of the class alone, like "a bear".',
        ko='클래스 이미지에 담을 내용. 클래스만 적은 프롬프트입니다. 예: "a bear".',
        aliases=("prompt", "p", "reg_prompt"),
        min_length=1,
    )
    train_data_dir: Path | None = option(
        None,
        en=f"Folder of training pictures; each asks for {PER_PICTURE} class pictures.",
        ko=f"학습 이미지 폴더. 이미지 한 장마다 클래스 이미지 {PER_PICTURE}장을 만듭니다.",
        aliases=("data", "instance_data_dir"),
    )
    num_class_images: int | None = option(
        None,
        en=f"Class pictures in all; without it, {PER_PICTURE} per training picture. Those that "
        "are there count.",
        ko=f"클래스 이미지의 전체 수. 지정하지 않으면 학습 이미지 한 장에 {PER_PICTURE}장입니다. "
        "이미 있는 이미지도 셉니다.",
        aliases=("num_images", "reg_images"),
        unit="pictures",
        ge=1,
        le=10**6,
    )
    class_name: str | None = option(
        None,
        en="Name of the class in the folder's name, 1_NAME; without it, the prompt without its "
        "article.",
        ko="폴더 이름 1_이름에 들어갈 클래스 이름. 지정하지 않으면 프롬프트에서 관사를 뺀 말.",
        min_length=1,
    )
    drawing: DrawingOptions

    @model_validator(mode="after")
    def _check_count(self) -> RegularizeOptions:
        if self.train_data_dir is None and self.num_class_images is None:
            raise UsageError("regularize.how_many")
        return self
