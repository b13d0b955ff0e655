"""The options of a training folder: which pictures are learnt, and with which words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, final

from pydantic import BeforeValidator, PositiveInt

from loraloom.options import AbstractOptions, option

MOST_ENLARGED: Final = 4.0
"""How much larger a picture may be made, in width and height, before it is refused.

Beyond it, an 8x8 cell of pixels, which is one number of Stable Diffusion's latents, holds less
than 2x2 pixels of the picture.
"""


def _extension(value: Any) -> Any:
    """Let ".txt" and "txt" be the same, and "" or "auto" mean that the folder decides."""
    if not isinstance(value, str):
        return value
    if value.lower() in ("", "auto"):
        return None
    return value if value.startswith(".") else f".{value}"


def _size(value: Any) -> Any:
    """Read 512, "512", "512,768" or "512x768" as (width, height)."""
    parts: Any = value
    if isinstance(value, str):
        parts = [part.strip() for part in value.lower().replace("x", ",").split(",")]
    elif isinstance(value, int) and not isinstance(value, bool):
        parts = [value]
    if isinstance(parts, list) and len(parts) == 1:  # pyright: ignore[reportUnknownArgumentType]
        parts = [*parts, *parts]
    return tuple(parts) if isinstance(parts, list) else parts  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


@final
class DataOptions(AbstractOptions):
    """Pictures and captions of one adapter."""

    train_data_dir: Path = option(
        en="Folder of training pictures, each with a caption file of the same name beside it; "
        "subfolders named like 10_word are repeated that many times. Or a data set file of "
        "kohya's form (.toml). A relative path starts at the working folder.",
        ko="학습 이미지 폴더. 이미지 옆에 같은 이름의 캡션 파일을 두며, 10_단어 같은 하위 폴더는 "
        "그 수만큼 반복합니다. kohya 형식의 데이터셋 파일(.toml)도 됩니다. 상대 경로는 현재 작업 "
        "폴더에서 시작합니다.",
        aliases=("data", "folder_path", "image_dir", "instance_data_dir", "dataset_config"),
    )
    trigger: str | None = option(
        None,
        en="Word or phrase that calls the adapter; it is put before every caption that lacks it.",
        ko="어댑터를 부르는 트리거 단어나 문구. 캡션에 없으면 맨 앞에 붙입니다.",
        aliases=("trigger_word", "instance_prompt", "class_tokens"),
        min_length=1,
    )
    caption_extension: Annotated[str | None, BeforeValidator(_extension)] = option(
        None,
        en="Extension of the caption files; without it, the one that the folder uses is found.",
        ko="캡션 파일의 확장자. 지정하지 않으면 폴더에서 쓰는 확장자를 찾습니다.",
        aliases=("caption_extention", "caption_ext"),
    )
    caption_column: str | None = option(
        None,
        en="Column of metadata.jsonl or metadata.csv that holds the captions; without it text, "
        "caption or prompt.",
        ko="metadata.jsonl이나 metadata.csv에서 캡션이 있는 열. 지정하지 않으면 text, caption, "
        "prompt 순서로 찾습니다.",
        min_length=1,
    )
    recursive: bool = option(
        False,
        en="Take the pictures of all folders below as well.",
        ko="하위 폴더 전체의 이미지도 씁니다.",
    )
    shuffle_caption: bool = option(
        False,
        en="Shuffle the comma-separated tags of a caption each time it is used.",
        ko="캡션을 쓸 때마다 쉼표로 나뉜 태그의 순서를 섞습니다.",
    )
    keep_tokens: int = option(
        0,
        en="How many leading tags keep their place when tags are shuffled.",
        ko="태그를 섞을 때 자리를 지키는 앞쪽 태그의 수.",
        unit="tags",
        ge=0,
    )
    keep_tokens_separator: str | None = option(
        None,
        en="Mark inside captions: what stands before it keeps its place; wins over keep_tokens.",
        ko="캡션 안의 구분 기호. 그 앞의 내용은 자리를 지키며 keep_tokens보다 우선합니다.",
        min_length=1,
        hidden=True,
    )
    caption_dropout_rate: float = option(
        0.0,
        en="Share of uses in which the caption is left empty, 0 to 1; more loosens the tie to "
        "words.",
        ko="캡션을 비우고 학습하는 비율(0~1). 클수록 단어와의 연결이 약해집니다.",
        ge=0,
        le=1,
    )
    num_repeats: int = option(
        1,
        en="How often each picture of a folder without a repeat prefix is seen per epoch.",
        ko="반복 접두사가 없는 폴더의 이미지를 한 에포크에 몇 번 볼지 정합니다.",
        aliases=("repeats",),
        unit="times",
        ge=1,
    )
    resolution: Annotated[tuple[PositiveInt, PositiveInt] | None, BeforeValidator(_size)] = option(
        None,
        en='Training size in pixels, "512" or "width,height"; without it, the size that the base '
        "model was made for. Larger shows more detail and costs time and memory.",
        ko='학습 해상도(픽셀). "512" 또는 "너비,높이". 지정하지 않으면 기본 모델의 크기를 씁니다. '
        "클수록 세밀하지만 시간과 메모리가 더 듭니다.",
        unit="px",
    )
    max_enlargement: float = option(
        MOST_ENLARGED,
        en="Pictures that would have to be enlarged more than this many times, in width and "
        "height, are refused.",
        ko="가로와 세로를 이 배수보다 크게 확대해야 하는 이미지는 쓸 수 없는 것으로 봅니다.",
        unit="times",
        gt=0,
    )
