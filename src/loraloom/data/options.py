"""The options of a training folder: which pictures are learnt, and with which words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeAlias, final

from pydantic import BeforeValidator, Field, model_validator

from loraloom.errors import UsageError
from loraloom.options import AbstractOptions, option

MOST_REPEATS: Final = 10**6
"""How often an epoch may show one picture; more is a date or a number taken for repeats."""

MOST_ENLARGED: Final = 4.0
"""How much larger a picture may be made, in width and height, before it is refused.

Beyond it, an 8x8 cell of pixels, which is one number of Stable Diffusion's latents, holds less
than 2x2 pixels of the picture.
"""


_Side: TypeAlias = Annotated[int, Field(ge=1, le=65536)]


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


CaptionExtension: TypeAlias = Annotated[str | None, BeforeValidator(_extension)]
CAPTION_EXTENSION: Final = option(
    None,
    en="Extension of the caption files; without it, the one that the folder uses is found.",
    ko="캡션 파일의 확장자. 지정하지 않으면 폴더에서 쓰는 확장자를 찾습니다.",
    aliases=("caption_extention", "caption_ext"),
)
CAPTION_COLUMN: Final = option(
    None,
    en="Column of metadata.jsonl or metadata.csv that holds the captions; without it text, caption "
    "or prompt.",
    ko="metadata.jsonl이나 metadata.csv에서 캡션이 있는 열. 지정하지 않으면 text, caption, prompt "
    "순서로 찾습니다.",
    min_length=1,
)
CaptionEncoding: TypeAlias = Literal[
    "cp949", "cp932", "gb18030", "big5", "cp1252", "utf-16-le", "utf-16-be"
]
CAPTION_ENCODING: Final = option(
    None,
    en="Encoding of captions that are not UTF-8 and have no byte order mark; without it cp949, and "
    "what reads like no Korean in it is an error.",
    ko="UTF-8이 아니고 BOM도 없는 캡션의 인코딩. 지정하지 않으면 cp949로 읽고, 한국어로 보이지 "
    "않으면 오류로 알립니다.",
    hidden=True,
)
RECURSIVE: Final = option(
    False,
    en="Take the pictures of all folders below as well.",
    ko="하위 폴더 전체의 이미지도 씁니다.",
)
"""How a folder of pictures is read, wherever one is named."""


@final
class DataOptions(AbstractOptions):
    """Pictures and captions of one adapter."""

    @model_validator(mode="after")
    def _one_mask(self) -> Self:
        if self.alpha_mask and self.conditioning_data_dir is not None:
            raise UsageError("mask.two_sources", folder=self.conditioning_data_dir)
        return self

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
    caption_extension: CaptionExtension = CAPTION_EXTENSION
    caption_column: str | None = CAPTION_COLUMN
    caption_encoding: CaptionEncoding | None = CAPTION_ENCODING
    recursive: bool = RECURSIVE
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
        le=10**6,
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
    caption_dropout_every_n_epochs: int = option(
        0,
        en="Leave all captions empty in every epoch that this number divides; 0 never does.",
        ko="에포크 번호가 이 수로 나누어떨어지면 캡션을 모두 비웁니다. 0이면 비우지 않습니다.",
        unit="epochs",
        ge=0,
        le=1_000_000,
        hidden=True,
    )
    caption_tag_dropout_rate: float = option(
        0.0,
        en="Share of uses in which a tag is left out, 0 to 1; the tags that keep their place stay.",
        ko="태그 하나를 빼는 비율(0~1). 자리를 지키는 태그는 빼지 않습니다.",
        ge=0,
        le=1,
        hidden=True,
    )
    token_warmup_step: float = option(
        0.0,
        en="Let the tags of a caption join in one after the other until this step; below 1, until "
        "that share of all steps. 0: all are there from the first step.",
        ko="캡션의 태그를 이 스텝까지 하나씩 늘려 갑니다. 1보다 작으면 전체 스텝에 대한 "
        "비율입니다. 0이면 처음부터 모두 씁니다.",
        unit="steps",
        ge=0,
        le=10**9,
        hidden=True,
    )
    token_warmup_min: int = option(
        1,
        en="How many tags that do not keep their place there are at the first step, where tags "
        "join in one after the other.",
        ko="태그를 하나씩 늘려 갈 때 첫 스텝에서 쓰는 태그 수. 자리를 지키는 태그는 세지 않습니다.",
        unit="tags",
        ge=0,
        le=10**6,
        hidden=True,
    )
    caption_prefix: str = option(
        "",
        en="Words to put before every caption, with a blank between.",
        ko="모든 캡션 앞에 한 칸 띄우고 붙일 말.",
        hidden=True,
    )
    caption_suffix: str = option(
        "",
        en="Words to put after every caption, with a blank between.",
        ko="모든 캡션 뒤에 한 칸 띄우고 붙일 말.",
        hidden=True,
    )
    caption_separator: str = option(
        ",",
        en="What stands between the tags of a caption.",
        ko="캡션의 태그를 나누는 기호.",
        min_length=1,
        hidden=True,
    )
    secondary_separator: str | None = option(
        None,
        en="What stands between tags that stay together; it becomes caption_separator at the end.",
        ko="함께 다니는 태그를 나누는 기호. 마지막에 caption_separator로 바뀝니다.",
        min_length=1,
        hidden=True,
    )
    enable_wildcard: bool = option(
        False,
        en="Draw one word of each {a|b} in a caption, and one line of a caption of several.",
        ko="캡션의 {a|b}에서 하나를, 여러 줄 캡션에서 한 줄을 뽑습니다.",
        hidden=True,
    )
    flip_aug: bool = option(
        False,
        en="Mirror half of the uses of a picture; not for what has a left and a right.",
        ko="이미지를 쓸 때 절반은 좌우로 뒤집습니다. 좌우가 중요한 대상에는 쓰지 마세요.",
        aliases=("random_flip",),
    )
    random_crop: bool = option(
        False,
        en="Cut pictures elsewhere at each use instead of at the centre; at one of five places "
        "where latents are cached.",
        ko="이미지를 가운데가 아니라 쓸 때마다 다른 곳에서 자릅니다. 잠재 벡터를 캐시하면 다섯 곳 "
        "중 하나입니다.",
    )
    color_aug: bool = option(
        False,
        en="Change the hue by up to 16 degrees or the gamma by up to 0.05 in a third of the uses; "
        "latents are then encoded anew at each use, which is slow.",
        ko="세 번에 한 번꼴로 색상을 16도, 또는 감마를 0.05까지 바꿉니다. 쓸 때마다 잠재 벡터를 "
        "다시 만들므로 느립니다.",
    )
    alpha_mask: bool = option(
        False,
        en="Learn transparent parts of pictures less or not at all.",
        ko="이미지의 투명한 부분은 덜 배우거나 배우지 않습니다.",
    )
    conditioning_data_dir: Path | None = option(
        None,
        en="Folder of masks that are named like the pictures: white is learnt, black is not.",
        ko="이미지와 이름이 같은 마스크의 폴더. 흰 부분만 배우고 검은 부분은 배우지 않습니다.",
        aliases=("mask_dir", "mask_path"),
    )
    num_repeats: int = option(
        1,
        en="How often each picture of a folder without a repeat prefix is seen per epoch.",
        ko="반복 접두사가 없는 폴더의 이미지를 한 에포크에 몇 번 볼지 정합니다.",
        aliases=("repeats",),
        unit="times",
        ge=1,
        le=MOST_REPEATS,
    )
    resolution: Annotated[tuple[_Side, _Side] | None, BeforeValidator(_size)] = option(
        None,
        en='Training size in pixels, "512" or "width,height"; without it, the size that the base '
        "model was made for. Larger shows more detail and costs time and memory.",
        ko='학습 해상도(픽셀). "512" 또는 "너비,높이". 지정하지 않으면 기본 모델의 크기를 씁니다. '
        "클수록 세밀하지만 시간과 메모리가 더 듭니다.",
        unit="px",
    )
    enable_bucket: bool = option(
        True,
        en="Train each picture at the size of its own shape, in the area of the resolution, rather "
        "than cutting all to one shape.",
        ko="이미지를 한 비율로 자르지 않고, 해상도와 같은 넓이에서 각자의 비율에 맞는 크기(버킷)로 "
        "학습합니다.",
        aliases=("bucket",),
    )
    bucket_no_upscale: bool = option(
        False,
        en="Enlarge no picture: a smaller one keeps its size, cut to multiples of the step.",
        ko="이미지를 확대하지 않습니다. 작은 이미지는 크기를 그대로 두고 간격의 배수로 자릅니다.",
        hidden=True,
    )
    bucket_reso_steps: int | None = option(
        None,
        en="Sides of the buckets are multiples of this; without it, the smallest step that the "
        "base takes (64 for Stable Diffusion 1.x).",
        ko="버킷의 변 길이는 이 값의 배수입니다. 지정하지 않으면 기본 모델이 받는 가장 작은 "
        "간격(Stable Diffusion 1.x는 64)을 씁니다.",
        unit="px",
        ge=1,
        le=65_536,
        hidden=True,
    )
    min_bucket_reso: int | None = option(
        None,
        en="Shortest side of a bucket; without it, half of the resolution (256 at 512).",
        ko="버킷의 가장 짧은 변. 지정하지 않으면 해상도의 절반(512면 256)입니다.",
        unit="px",
        ge=1,
        le=65_536,
        hidden=True,
    )
    max_bucket_reso: int | None = option(
        None,
        en="Longest side of a bucket; without it, twice the resolution (1024 at 512).",
        ko="버킷의 가장 긴 변. 지정하지 않으면 해상도의 두 배(512면 1024)입니다.",
        unit="px",
        ge=1,
        le=65_536,
        hidden=True,
    )
    reg_data_dir: Path | None = option(
        None,
        en="Folder of regularisation pictures, which show the class and not what is to be learnt; "
        "every step shows as many of them as of the others.",
        ko="배울 대상이 아니라 클래스를 보여 주는 정규화 이미지의 폴더. 스텝마다 학습 이미지와 "
        "같은 수를 씁니다.",
        aliases=("class_data_dir",),
    )
    class_prompt: str = option(
        "",
        en="Caption of regularisation pictures that have none of their own.",
        ko="캡션이 없는 정규화 이미지에 쓸 캡션.",
    )
    max_enlargement: float = option(
        MOST_ENLARGED,
        en="Pictures that would have to be enlarged more than this many times, in width and "
        "height, are refused.",
        ko="가로와 세로를 이 배수보다 크게 확대해야 하는 이미지는 쓸 수 없는 것으로 봅니다.",
        unit="times",
        gt=0,
    )
