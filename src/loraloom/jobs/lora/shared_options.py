"""Options that several jobs on adapter files have in common."""

from __future__ import annotations

from typing import Literal, final

from loraloom.options import AbstractOptions, option

Format = Literal["kohya", "lycoris", "peft", "diffusers", "native"]
NumberType = Literal["fp32", "fp16", "bf16"]


@final
class FormatOptions(AbstractOptions):
    """The format of a new adapter."""

    to: Format = option(
        "kohya",
        en="Format of the file: kohya (what web UIs read), lycoris (the same with every kind of "
        "adapter), peft (a folder), diffusers, or native (ours: every kind exactly).",
        ko="파일 형식: kohya(웹 UI가 읽는 형식), lycoris(kohya와 같되 모든 종류의 어댑터), "
        "peft(폴더), diffusers, native(자체 형식: 모든 종류를 그대로).",
        aliases=("format",),
    )


@final
class FileOptions(AbstractOptions):
    """How an adapter file is written."""

    dtype: NumberType | None = option(
        None,
        en="Number type of the factors; without it they stay as they are. fp16 and bf16 halve the "
        "file and round to about 3 and 2 digits.",
        ko="인수의 수 형식. 지정하지 않으면 그대로 둡니다. fp16과 bf16은 파일을 절반으로 줄이고 "
        "각각 약 3자리, 2자리로 반올림합니다.",
        aliases=("save_precision",),
    )
    metadata: Literal["none", "minimal", "full", "verbatim"] | None = option(
        None,
        en="How much the header tells: none, minimal (base, ranks, triggers), full (how it was "
        "made too), verbatim (all that the source told). Without it, verbatim for a file that was "
        "read, full for a new adapter.",
        ko="헤더에 적는 양: none, minimal(기본 모델, 랭크, 트리거), full(만든 방법까지), "
        "verbatim(원본이 적은 전부). 지정하지 않으면 읽은 파일은 verbatim, 새 어댑터는 full입니다.",
    )
    force: bool = option(
        False,
        en="Replace what exists under the name of the output.",
        ko="출력 이름으로 이미 있는 것을 덮어씁니다.",
        aliases=("overwrite",),
    )


@final
class BaseOptions(AbstractOptions):
    """The base model, where something depends on its weights."""

    base: str | None = option(
        None,
        en="Base model: playground, a diffusers or transformers folder, or a single file. Needed "
        "where an adapter's change depends on the base's own weights (DoRA, OFT, BOFT, IA3, "
        "GLoRA); its tensors are read one at a time.",
        ko="기본 모델: playground, diffusers나 transformers 폴더, 또는 단일 파일. 어댑터의 변화가 "
        "기본 모델의 가중치에 달려 있을 때(DoRA, OFT, BOFT, IA3, GLoRA) 필요합니다. 텐서는 한 "
        "번에 하나씩 읽습니다.",
        aliases=("base_model", "model", "pretrained_model_name_or_path"),
    )


@final
class LawOptions(AbstractOptions):
    """What a weight means."""

    law: Literal["linear", "peft", "lycoris"] = option(
        "linear",
        en="What a weight other than 1 means for kinds that depend on the base: linear multiplies "
        "the change of the weight, peft and lycoris do what those libraries do.",
        ko="기본 모델에 달린 종류에서 1이 아닌 가중치의 뜻: linear는 가중치의 변화를 곱하고, "
        "peft와 lycoris는 각 라이브러리가 하는 대로 합니다.",
        hidden=True,
    )
