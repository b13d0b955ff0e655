"""What one subset of a data set file may say."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, final

from loraloom.data.options import (
    CAPTION_COLUMN,
    CAPTION_ENCODING,
    CAPTION_EXTENSION,
    MOST_REPEATS,
    RECURSIVE,
    CaptionEncoding,
    CaptionExtension,
    DataOptions,
)
from loraloom.jobs.keys import Key, index, keys_of
from loraloom.options import AbstractOptions, option

# sd-scripts takes these for a whole data set only.
WHOLE: Final = (
    "resolution",
    "batch_size",
    "enable_bucket",
    "min_bucket_reso",
    "max_bucket_reso",
    "bucket_reso_steps",
    "bucket_no_upscale",
)
# These say what a subset is, so they stand in its own table alone.
OWN: Final = ("image_dir", "is_reg")
RENAMED: Final = {"batch_size": "train_batch_size"}


@final
class SubsetOptions(AbstractOptions):
    """What one subset of such a file may say of itself."""

    image_dir: Path = option(en="Folder of its pictures.", ko="이미지 폴더.")
    num_repeats: int = option(
        1,
        en="How often an epoch shows each picture.",
        ko="한 에포크에 이미지마다 학습할 횟수.",
        ge=1,
        le=MOST_REPEATS,
    )
    class_tokens: str = option(
        "",
        en="Caption of pictures that have none of their own.",
        ko="캡션이 없는 이미지에 쓸 캡션.",
    )
    is_reg: bool = option(
        False,
        en="The pictures show the class, not what is to be learnt.",
        ko="배울 대상이 아니라 클래스를 보여 주는 정규화 이미지.",
    )
    caption_extension: CaptionExtension = CAPTION_EXTENSION
    caption_column: str | None = CAPTION_COLUMN
    caption_encoding: CaptionEncoding | None = CAPTION_ENCODING
    recursive: bool = RECURSIVE
    weight: float = option(
        1.0,
        en="Factor of the loss of its pictures.",
        ko="이 이미지들의 손실에 곱할 값.",
        aliases=("loss_weight",),
        gt=0,
    )


@cache
def known_keys() -> Mapping[str, Key]:
    """Return the keys of a subset by spelling: its own, then the options of training data."""
    own = index(keys_of(SubsetOptions))
    data = {
        spelling: key
        for spelling, key in index(keys_of(DataOptions)).items()
        if key.name not in ("train_data_dir", "trigger")
    }
    return {**data, **own}


def canonical_name(spelling: str) -> str:
    """Return our name of a key of such a file."""
    return RENAMED.get(spelling) or known_keys()[spelling].name
