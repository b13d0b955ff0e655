"""What a job may be told of its base model: which one, and where and how it computes.

Each is a type that the options of a job compose: what differs from job to job is the field's name,
which may be any of those known, and its default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator

from loraloom.errors import UsageError
from loraloom.options import option

_PRECISIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "no": "fp32",
        "float": "fp32",
        "float32": "fp32",
        "half": "fp16",
        "float16": "fp16",
        "bfloat16": "bf16",
    }
)

_DEVICE: Final = re.compile(r"auto|cpu|mps|cuda(:[0-9]{1,3})?")


def precision(value: Any) -> Any:
    """Read the other names of floating-point types; "no" is kohya's for 32 bits."""
    return _PRECISIONS.get(value.lower(), value.lower()) if isinstance(value, str) else value


ModelName: TypeAlias = Annotated[
    str,
    option(
        en="Base model: playground (comes with the package), a folder, a checkpoint file, or a "
        "name on the hub.",
        ko="기본 모델: playground(패키지에 포함), 폴더, 체크포인트 파일 또는 허브의 이름.",
        aliases=(
            "pretrained_model_name_or_path",
            "model",
            "m",
            "name_or_path",
            "base_model",
            "ckpt",
        ),
        min_length=1,
    ),
]


def _device(value: str) -> str:
    """Refuse what names no device; whether it is there is seen when it is used."""
    name = value.strip().lower()
    if not _DEVICE.fullmatch(name):
        raise UsageError("device.unknown", device=value)
    return name


DeviceName: TypeAlias = Annotated[
    str,
    AfterValidator(_device),
    option(
        en="Where to compute: auto, cpu, cuda, cuda:1 or mps.",
        ko="계산할 장치: auto, cpu, cuda, cuda:1, mps.",
    ),
]

_PRECISION_NAMES: Final = ("mixed_precision", "dtype", "precision", "torch_dtype")

Precision: TypeAlias = Annotated[
    Literal["auto", "fp32", "fp16", "bf16"],
    BeforeValidator(precision),
    option(
        en="Number type of the base model; auto takes bf16 where the device is good at it, and "
        "fp32 elsewhere.",
        ko="기본 모델의 수 형식. auto는 장치가 잘 지원하면 bf16, 아니면 fp32를 씁니다.",
        aliases=_PRECISION_NAMES,
    ),
]

TrainingPrecision: TypeAlias = Annotated[
    Literal["auto", "fp32", "fp16", "bf16"],
    BeforeValidator(precision),
    option(
        en="Number type of the base model; auto takes bf16 where the device is good at it, and "
        "fp32 elsewhere. An adapter in training stays in fp32.",
        ko="기본 모델의 수 형식. auto는 장치가 잘 지원하면 bf16, 아니면 fp32를 씁니다. 학습하는 "
        "어댑터는 fp32로 유지합니다.",
        aliases=_PRECISION_NAMES,
    ),
]

ClipSkip: TypeAlias = Annotated[
    int,
    option(
        en="Layer of the text encoder that is read, counted from the end: 1 is the last.",
        ko="텍스트 인코더에서 읽는 층. 끝에서부터 세며 1이 마지막 층입니다.",
        unit="layers",
        ge=1,
        le=1000,
        hidden=True,
    ),
]
