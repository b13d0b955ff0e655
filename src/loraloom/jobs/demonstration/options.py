"""The options of the demonstration, apart from the job so that help imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, final

from loraloom.models.options import DeviceName
from loraloom.options import AbstractOptions, option


@final
class DemoOptions(AbstractOptions):
    """The options of the demonstration."""

    output_dir: Path = option(
        Path("demo"),
        en="Folder that receives everything: training folders, adapters, pictures, report.",
        ko="학습 폴더, 어댑터, 그림, 보고서가 모두 놓일 폴더.",
        aliases=("o",),
    )
    full: bool = option(
        False,
        en="Measure more: 64 pictures per weight instead of 16, and the base on 256.",
        ko="더 많이 측정합니다: 강도마다 16장 대신 64장, 기본 모델은 256장.",
    )
    seed: int = option(
        42,
        en="Number that fixes every random choice.",
        ko="모든 무작위 선택을 고정하는 수.",
        ge=0,
        lt=2**63,
    )
    device: DeviceName = "auto"
    lang: Literal["en", "ko"] = option(
        "en",
        en="Language of the report.",
        ko="보고서의 언어.",
    )
    overwrite: bool = option(
        False,
        en="Replace the outputs of an earlier demonstration in the same folder.",
        ko="같은 폴더에 있는 이전 데모의 출력을 덮어씁니다.",
    )
