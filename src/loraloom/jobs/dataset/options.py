"""The options of the jobs that look at training folders and put them in order."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, final

from loraloom.data.goals import GOALS, Goal
from loraloom.data.options import (
    CAPTION_COLUMN,
    CAPTION_ENCODING,
    CAPTION_EXTENSION,
    RECURSIVE,
    CaptionEncoding,
    CaptionExtension,
    DataOptions,
)
from loraloom.data.source import Source
from loraloom.options import AbstractOptions, option

GoalName = Literal["style", "character", "concept"]


def goal_named(name: GoalName | None) -> Goal | None:
    """Return the goal of a name."""
    return None if name is None else GOALS[name]


@final
class CheckOptions(AbstractOptions):
    """The options of `dataset check`."""

    folders: tuple[Path, ...] = option(
        (),
        en="Folders of pictures, or data set files of kohya's form (.toml).",
        ko="이미지 폴더 또는 kohya 형식의 데이터셋 파일(.toml).",
        hidden=True,
    )
    goal: GoalName | None = option(
        None,
        en="What is to be taught; it sets how many pictures are advised.",
        ko="가르칠 대상. 권하는 이미지 수가 이에 따라 정해집니다.",
    )
    model: str | None = option(
        None,
        en="Base model to train on: its tokenizer counts the tokens, and it sets the resolution. "
        "Without it, tokens are estimated and the resolution is 512.",
        ko="학습할 기본 모델. 그 토크나이저로 토큰을 세고 해상도를 정합니다. 지정하지 않으면 "
        "토큰은 어림하고 해상도는 512로 봅니다.",
        aliases=("pretrained_model_name_or_path", "m", "name_or_path", "base_model"),
        min_length=1,
    )
    train_batch_size: int = option(
        1,
        en="Pictures per step, to count the steps.",
        ko="스텝 수를 셀 때 쓰는 배치 크기.",
        aliases=("batch_size",),
        unit="pictures",
        ge=1,
        le=65536,
    )
    max_train_epochs: int | None = option(
        None,
        en="Epochs, to count the steps in all.",
        ko="전체 스텝 수를 셀 때 쓰는 에포크 수.",
        aliases=("epochs",),
        unit="epochs",
        ge=1,
        le=10**6,
    )
    weighted_captions: bool = option(
        False,
        en="Take (word:1.2) in captions for a weight when tokens are counted, as the training "
        "does with this option.",
        ko="토큰을 셀 때 캡션의 (단어:1.2)를 가중치로 읽습니다. 이 옵션을 켠 학습과 같습니다.",
    )
    fix: Path | None = option(
        None,
        en="New folder that receives a copy with all safe repairs done and the unusable left "
        "out; the folders themselves are never changed.",
        ko="안전한 수정을 모두 마치고 쓸 수 없는 것을 뺀 사본을 만들 새 폴더. 원본은 바꾸지 "
        "않습니다.",
    )
    keep_alpha: bool = option(
        False,
        en="In the copy, leave transparent pictures as they are, to be masks in training.",
        ko="사본에서 투명한 부분을 그대로 두어 학습할 때 마스크로 씁니다.",
    )
    overwrite: bool = option(
        False,
        en="Write the copy into a folder that is not empty, replacing files of the same name.",
        ko="비어 있지 않은 폴더에도 사본을 쓰고 이름이 같은 파일을 덮어씁니다.",
    )
    data: DataOptions

    def sources(self) -> tuple[Path, ...]:
        """Return the folders and files that were named."""
        return self.folders or (self.data.train_data_dir,)


@final
class PlaceOptions(AbstractOptions):
    """Which folders, and where in them the captions are."""

    folders: tuple[Path, ...] = option(
        en="Folders of pictures, or data set files of kohya's form (.toml).",
        ko="이미지 폴더 또는 kohya 형식의 데이터셋 파일(.toml).",
        aliases=("train_data_dir", "data"),
        min_length=1,
    )
    recursive: bool = RECURSIVE
    caption_extension: CaptionExtension = CAPTION_EXTENSION
    caption_column: str | None = CAPTION_COLUMN
    caption_encoding: CaptionEncoding | None = CAPTION_ENCODING

    def like(self) -> Source:
        """Return how a folder is to be read."""
        return Source(
            folder=self.folders[0],
            recursive=self.recursive,
            caption_column=self.caption_column,
            caption_encoding=self.caption_encoding,
        )


@final
class TagsOptions(AbstractOptions):
    """The options of `dataset tags`."""

    append: tuple[str, ...] = option(
        (),
        en="Tag to put last into every caption that lacks it.",
        ko="캡션에 없으면 맨 뒤에 넣을 태그.",
        aliases=("add",),
    )
    prepend: tuple[str, ...] = option(
        (),
        en="Tag to put first into every caption that lacks it, such as a trigger.",
        ko="캡션에 없으면 맨 앞에 넣을 태그. 예: 트리거 단어.",
    )
    remove: tuple[str, ...] = option(
        (), en="Tag to take out of every caption.", ko="모든 캡션에서 뺄 태그."
    )
    replace: tuple[str, ...] = option(
        (), en="OLD=NEW: one tag in the place of another.", ko="옛것=새것: 태그를 바꿉니다."
    )
    allow_empty: bool = option(
        False,
        en="Let an edit leave captions without a word.",
        ko="편집으로 아무 말도 남지 않는 캡션이 생겨도 됩니다.",
    )
    undo: bool = option(
        False,
        en="Take back the last edit of these folders, byte for byte; again for the one before.",
        ko="이 폴더의 마지막 편집을 바이트 그대로 되돌립니다. 거듭하면 그 전 편집도 되돌립니다.",
    )
    top: int = option(
        30,
        en="How many of the most frequent tags to show.",
        ko="많이 쓰인 태그를 몇 개 보여 줄지 정합니다.",
        unit="tags",
        ge=0,
        le=10**9,
    )
    dry_run: bool = option(
        False,
        en="Show what an edit would change, and change nothing.",
        ko="편집하면 무엇이 바뀌는지만 보여 주고 바꾸지 않습니다.",
    )
    overwrite: bool = option(
        False,
        en="With --undo, also restore files that were changed since.",
        ko="--undo와 함께 쓰면 그 뒤에 바뀐 파일도 되돌립니다.",
    )
    place: PlaceOptions


@final
class DedupeOptions(AbstractOptions):
    """The options of `dataset dedupe`."""

    output_dir: Path | None = option(
        None,
        en="New folder that the redundant pictures are moved to, with their captions; without "
        "it, they are only listed.",
        ko="중복 이미지를 캡션과 함께 옮길 새 폴더. 지정하지 않으면 목록만 보여 줍니다.",
        aliases=("o",),
    )
    overwrite: bool = option(
        False,
        en="Move into a folder that is not empty.",
        ko="비어 있지 않은 폴더로도 옮깁니다.",
    )
    place: PlaceOptions


@final
class SplitOptions(AbstractOptions):
    """The options of `dataset split`."""

    held_out: float = option(
        0.1,
        en="Share of the pictures to hold out, 0 to 1.",
        ko="떼어 둘 이미지의 비율(0~1).",
        aliases=("validation_split",),
        gt=0,
        lt=1,
    )
    seed: int = option(
        0, en="Number that decides which.", ko="어느 것을 뗄지 정하는 수.", ge=0, lt=2**63
    )
    output_dir: Path | None = option(
        None,
        en="New folder that receives copies in train and held_out; without it, the parts are "
        "only listed.",
        ko="train과 held_out에 사본을 넣을 새 폴더. 지정하지 않으면 목록만 보여 줍니다.",
        aliases=("o",),
    )
    overwrite: bool = option(
        False,
        en="Write into a folder that is not empty, replacing files of the same name.",
        ko="비어 있지 않은 폴더에도 쓰고 이름이 같은 파일을 덮어씁니다.",
    )
    place: PlaceOptions
