"""The options of the jobs that only tell something about adapter files."""

from __future__ import annotations

from pathlib import Path
from typing import final

from loraloom.jobs.lora.shared_options import BaseOptions, FamilyOptions
from loraloom.options import AbstractOptions, option


@final
class InfoOptions(AbstractOptions):
    """The options of `lora info`."""

    files: tuple[Path, ...] = option(
        en="Adapter files or folders.",
        ko="어댑터 파일이나 폴더.",
        min_length=1,
    )
    hash: bool = option(
        False,
        en="Read the whole file and tell its hashes; without it only the header is read.",
        ko="파일 전체를 읽어 해시를 알려 줍니다. 지정하지 않으면 헤더만 읽습니다.",
    )
    weights: bool = option(
        False,
        en="Tell kind, rank and alpha of every adapted weight, not only their ranges.",
        ko="범위뿐 아니라 가중치마다 종류, 랭크, alpha를 알려 줍니다.",
    )
    kin: FamilyOptions = FamilyOptions()


@final
class HashOptions(AbstractOptions):
    """The options of `lora hash`."""

    files: tuple[Path, ...] = option(
        en="Adapter files.",
        ko="어댑터 파일.",
        min_length=1,
    )


@final
class ShowOptions(AbstractOptions):
    """The options of `lora meta show`."""

    source: Path = option(
        en="File whose header is shown.",
        ko="헤더를 볼 파일.",
    )


@final
class VerifyOptions(AbstractOptions):
    """The options of `lora verify`."""

    first: Path = option(
        en="Adapter to examine.",
        ko="검사할 어댑터.",
    )
    second: Path | None = option(
        None,
        en="Adapter that should do the same to every weight; without it the first is examined "
        "alone, for numbers that are none, changes that are zero, and outliers.",
        ko="모든 가중치에 같은 일을 해야 하는 어댑터. 지정하지 않으면 첫 파일만 검사해 수가 아닌 "
        "값, 0인 변화, 이상치를 찾습니다.",
    )
    tolerance: float = option(
        1e-5,
        en="Largest relative difference of a weight's change that counts as equal. Casting to "
        "fp16 makes about 3e-4, to bf16 about 3e-3.",
        ko="같다고 볼 가중치 변화의 가장 큰 상대 차이. fp16으로 바꾸면 약 3e-4, bf16이면 약 "
        "3e-3입니다.",
        aliases=("rtol",),
        ge=0,
    )
    kin: FamilyOptions = FamilyOptions()
    basis: BaseOptions = BaseOptions()


@final
class DiffOptions(AbstractOptions):
    """The options of `lora diff`."""

    first: Path = option(
        en="An adapter.",
        ko="어댑터.",
    )
    second: Path = option(
        en="The adapter to hold against it.",
        ko="견주어 볼 어댑터.",
    )
    kin: FamilyOptions = FamilyOptions()
    basis: BaseOptions = BaseOptions()


@final
class InterferenceOptions(AbstractOptions):
    """The options of `lora interference`."""

    adapters: tuple[Path, ...] = option(
        en="Adapters, two or more.",
        ko="어댑터. 둘 이상.",
        min_length=1,
    )
    output: Path | None = option(
        None,
        en="Picture (.png) to write: cosines by block and pair, red where they add up, blue where "
        "they undo each other.",
        ko="저장할 그림(.png). 블록과 쌍마다의 코사인이며, 더해지는 곳은 빨강, 상쇄되는 곳은 "
        "파랑입니다.",
        aliases=("o",),
    )
    force: bool = option(
        False,
        en="Replace what exists under the name of the output.",
        ko="출력 이름으로 이미 있는 것을 덮어씁니다.",
        aliases=("overwrite",),
    )
    kin: FamilyOptions = FamilyOptions()
    basis: BaseOptions = BaseOptions()
