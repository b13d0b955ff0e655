"""The options of `caption`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, final

from pydantic import AfterValidator, BeforeValidator, model_validator

from loraloom.errors import UsageError
from loraloom.models.options import DeviceName, Precision
from loraloom.options import AbstractOptions, option

_FIELD: Final = re.compile(r"\{([^{}]*)\}")
_KNOWN: Final = ("caption", "trigger")


def _extension(value: Any) -> Any:
    """Let "txt" be ".txt"."""
    # Only now, for it brings numpy, which help does without.
    from loraloom.data.caption_files import extensions_to_read

    return extensions_to_read(value)[0] if isinstance(value, str) else value


def _template(value: str) -> str:
    """Refuse a template without a caption, or with a field that nobody fills."""
    fields = _FIELD.findall(value)
    unknown = [name for name in fields if name not in _KNOWN]
    if unknown:
        raise UsageError("caption.template_field", field=unknown[0], template=value)
    if "caption" not in fields:
        raise UsageError("caption.template_empty", template=value)
    return value


def _commas(value: Any) -> Any:
    """Read kohya's "1girl,solo", alone or in a list."""
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, tuple | list):
        return value
    items = [item for text in value for item in str(text).split(",")]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return tuple(item.strip() for item in items if item.strip())


@final
class CaptionOptions(AbstractOptions):
    """Which pictures, by which captioner, and what becomes of its words."""

    image_dir: Path = option(
        en="Folder of pictures; subfolders named like 10_word are captioned in its stead.",
        ko="이미지 폴더. 10_단어 같은 하위 폴더가 있으면 그 안의 이미지에 캡션을 답니다.",
        aliases=("train_data_dir", "data", "folder", "folder_path"),
    )
    model: str = option(
        en="Captioner: playground (comes with the package), or a folder or hub name of BLIP, "
        "BLIP-2, or a tagger with model.onnx and selected_tags.csv.",
        ko="캡션 모델: playground(패키지에 포함), 또는 BLIP, BLIP-2, 태거(model.onnx와 "
        "selected_tags.csv)의 폴더나 허브 이름.",
        aliases=("m", "caption_weights", "repo_id", "captioner", "name_or_path"),
        min_length=1,
    )
    trigger: str | None = option(
        None,
        en="Word or phrase put before every caption that lacks it.",
        ko="캡션에 없으면 맨 앞에 붙일 트리거 단어나 문구.",
        aliases=("trigger_word", "prefix"),
        min_length=1,
    )
    template: Annotated[str, AfterValidator(_template)] = option(
        "{caption}",
        en='What is written, like "a painting of {caption}, by {trigger}"; without {trigger} in '
        "it, the trigger goes before.",
        ko='캡션의 틀. 예: "a painting of {caption}, by {trigger}". {trigger}가 없으면 트리거를 '
        "맨 앞에 붙입니다.",
    )
    caption_extension: Annotated[str, BeforeValidator(_extension)] = option(
        ".txt",
        en="Extension of the caption files, which lie beside their pictures.",
        ko="이미지 옆에 놓이는 캡션 파일의 확장자.",
        aliases=("caption_extention", "caption_ext"),
    )
    overwrite: bool = option(
        False,
        en="Replace the captions that pictures have already; without it they are kept.",
        ko="이미 있는 캡션을 새로 씁니다. 지정하지 않으면 그대로 둡니다.",
    )
    recursive: bool = option(
        False,
        en="Caption the pictures of all folders below as well.",
        ko="모든 하위 폴더의 이미지에도 캡션을 답니다.",
    )
    batch_size: int = option(
        8,
        en="Pictures captioned at once; more is faster and needs memory.",
        ko="한 번에 캡션을 다는 이미지 수. 클수록 빠르고 메모리를 씁니다.",
        unit="pictures",
        ge=1,
        le=65536,
    )
    num_beams: int = option(
        1,
        en="Sentences followed at once in the search for the best; 1 is greedy. BLIP only.",
        ko="가장 나은 문장을 찾을 때 함께 따라가는 문장 수. 1이면 탐욕 방식입니다. BLIP 전용.",
        aliases=("beams",),
        ge=1,
        le=65536,
    )
    min_length: int = option(
        5,
        en="Shortest caption; BLIP only.",
        ko="가장 짧은 캡션. BLIP 전용.",
        unit="tokens",
        ge=0,
        le=65536,
    )
    max_length: int = option(
        75,
        en="Longest caption; BLIP only.",
        ko="가장 긴 캡션. BLIP 전용.",
        unit="tokens",
        ge=1,
        le=65536,
    )
    threshold: float = option(
        0.35,
        en="Probability from which a tag is named; taggers only.",
        ko="태그를 적는 최소 확률. 태거 전용.",
        aliases=("thresh",),
        ge=0,
        le=1,
    )
    general_threshold: float | None = option(
        None,
        en="The same for general tags; the threshold, if left out.",
        ko="일반 태그의 최소 확률. 지정하지 않으면 threshold를 씁니다.",
        ge=0,
        le=1,
    )
    character_threshold: float | None = option(
        None,
        en="The same for names of characters; the threshold, if left out.",
        ko="캐릭터 태그의 최소 확률. 지정하지 않으면 threshold를 씁니다.",
        ge=0,
        le=1,
    )
    remove_underscore: bool = option(
        False,
        en="Write tags with spaces: long hair, not long_hair; taggers only.",
        ko="태그의 밑줄을 공백으로 씁니다. 예: long hair. 태거 전용.",
    )
    undesired_tags: Annotated[tuple[str, ...], BeforeValidator(_commas)] = option(
        (),
        en="Tags never written, separated by commas; taggers only.",
        ko="적지 않을 태그. 쉼표로 구분합니다. 태거 전용.",
        aliases=("exclude_tags",),
    )
    caption_separator: str = option(
        ", ",
        en="What stands between tags; taggers only.",
        ko="태그 사이에 넣을 글자. 태거 전용.",
    )
    device: DeviceName = "auto"
    dtype: Precision = "auto"

    @model_validator(mode="after")
    def _check_trigger(self) -> CaptionOptions:
        if "{trigger}" in self.template and self.trigger is None:
            raise UsageError("caption.template_trigger", template=self.template)
        return self
