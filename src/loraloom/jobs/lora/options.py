"""The options of the jobs that write adapter or model files, apart from the jobs and torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, final

from loraloom.jobs.lora.shared_options import (
    BaseOptions,
    EmbeddingOptions,
    FamilyOptions,
    FileOptions,
    Format,
    FormatOptions,
    LawOptions,
    LossOptions,
)
from loraloom.options import AbstractOptions, option


@final
class ConvertOptions(AbstractOptions):
    """The options of `lora convert`."""

    source: Path = option(
        en="Adapter to convert: a file, or a folder of PEFT or diffusers.",
        ko="변환할 어댑터: 파일, 또는 PEFT나 diffusers의 폴더.",
    )
    destination: Path = option(
        en="What to write: a name that ends in .safetensors, a folder for peft.",
        ko="저장할 곳: .safetensors로 끝나는 이름, peft는 폴더.",
    )
    to: Format = option(
        en="Format to write: kohya (what web UIs read), lycoris (the same with every kind of "
        "adapter), peft (a folder), diffusers, or native (ours: every kind exactly).",
        ko="저장할 형식: kohya(웹 UI가 읽는 형식), lycoris(kohya와 같되 모든 종류의 어댑터), "
        "peft(폴더), diffusers, native(자체 형식: 모든 종류를 그대로).",
        aliases=("format",),
    )
    split_qkv: Literal["told", "trained"] = option(
        "told",
        en="Strength of files that kohya's split_qkv saved: told is what the file says and every "
        "program applies, trained the 3 or 4 times stronger updates that were learnt.",
        ko="kohya의 split_qkv로 저장한 파일의 세기: told는 파일에 적혀 모든 프로그램이 적용하는 "
        "값, trained는 실제로 학습된 3~4배 강한 변화입니다.",
    )
    changed_base: Literal["undo", "keep"] | None = option(
        None,
        en="What to do with an adapter whose training changed the base as well (PiSSA, OLoRA); "
        "without it that is refused. undo: a LoRA of twice the rank that does the same on the "
        "untouched base, which --base names. keep: as it is, for the changed base alone.",
        ko="학습이 기본 모델까지 바꾼 어댑터(PiSSA, OLoRA)를 다루는 방법. 지정하지 않으면 "
        "거부합니다. undo: --base로 지정한 원래 기본 모델에서 똑같이 작동하는, 랭크가 두 배인 "
        "LoRA로 바꿉니다. keep: 바뀐 기본 모델 전용으로 그대로 둡니다.",
        aliases=("on_changed_base",),
    )
    words: EmbeddingOptions = EmbeddingOptions()
    kin: FamilyOptions = FamilyOptions()
    loss: LossOptions = LossOptions()
    file: FileOptions = FileOptions()
    basis: BaseOptions = BaseOptions()


@final
class MergeOptions(AbstractOptions):
    """The options of `lora merge`."""

    adapters: tuple[str, ...] = option(
        en="Adapters with their weights, as FILE:0.7; without a number, 1.",
        ko="어댑터와 가중치. 파일:0.7처럼 적고, 수가 없으면 1입니다.",
        aliases=("models",),
        min_length=1,
    )
    output: Path = option(
        en="File to write, a folder for peft.",
        ko="저장할 파일. peft는 폴더.",
        aliases=("o", "save_to"),
    )
    mode: Literal["cat", "svd", "ties", "dare", "dare_ties", "magnitude"] = option(
        "cat",
        en="cat: the exact sum, at the sum of the ranks. svd: the nearest sum of a chosen rank. "
        "ties, magnitude: the largest entries of each change, by vote or summed. dare, dare_ties: "
        "random entries of each, enlarged to make up for the rest. These four look at every entry "
        "of every weight: minutes for XL.",
        ko="cat: 랭크를 합친 정확한 합. svd: 정한 랭크에서 가장 가까운 합. ties, magnitude: 각 "
        "변화의 큰 성분만, 다수결 또는 합. dare, dare_ties: 무작위 성분만 남기고 그만큼 키움. 이 "
        "네 방식은 모든 성분을 보므로 XL에서는 몇 분이 걸립니다.",
    )
    rank: str | None = option(
        None,
        en="Rank of the result: a number, or auto:0.99 for the fewest with that share of the "
        "energy at each weight. svd without it takes the largest rank that goes in; the sparse "
        "modes then write full differences.",
        ko="결과의 랭크: 수, 또는 가중치마다 에너지의 그 비율을 지키는 최소 랭크 auto:0.99. "
        "지정하지 않으면 svd는 들어온 가장 큰 랭크를 쓰고, 희소 방식은 전체 차이를 저장합니다.",
        aliases=("new_rank",),
    )
    normalize: Literal["none", "sum1", "sqrt", "max-fro"] = option(
        "none",
        en="What the sum is divided by: nothing; the sum of the weights; the root of their "
        "squares' sum; or what keeps its norm at the largest that went in.",
        ko="합을 나누는 값: 없음, 가중치의 합, 가중치 제곱합의 제곱근, 또는 노름을 들어온 것 중 "
        "가장 큰 값으로 지키는 수.",
    )
    blocks: tuple[str, ...] = option(
        (),
        en="Factor on the weights below a name, as unet.down_blocks=0.5, or as "
        "FILE:unet.down_blocks=0.5 for one adapter alone; the longest name counts. Or 12, 17, "
        "20 or 26 numbers with commas, as LoRA Block Weight has them (text encoder first; "
        "blocks that a list leaves out get 0; what is in no block, as conv_out, keeps its weight).",
        ko="이름 아래 가중치에 곱할 수: unet.down_blocks=0.5, 어댑터 하나만이면 "
        "파일:unet.down_blocks=0.5. 가장 긴 이름이 적용됩니다. 또는 LoRA Block Weight처럼 쉼표로 "
        "나눈 수 12, 17, 20, 26개(맨 앞은 텍스트 인코더, 목록에 없는 블록은 0, conv_out처럼 블록이 "
        "아닌 것은 그대로).",
    )
    density: float | None = option(
        None,
        en="Share of each change's entries that the sparse modes (ties, magnitude, dare, "
        "dare_ties) keep, above 0 and up to 1; they need it. Less keeps less and clashes less.",
        ko="희소 방식(ties, magnitude, dare, dare_ties)이 남기는 성분의 비율, 0보다 크고 1 이하. "
        "그 방식에는 꼭 필요합니다. 작을수록 적게 남고 덜 부딪칩니다.",
        gt=0,
        le=1,
    )
    trim: Literal["model", "weight"] = option(
        "model",
        en="Whether the largest entries are chosen among all weights of an adapter or in each "
        "weight alone.",
        ko="큰 성분을 어댑터의 모든 가중치에서 고를지, 가중치마다 따로 고를지.",
        hidden=True,
    )
    scale: float = option(
        1.0,
        en="Factor on the merged change.",
        ko="합친 변화에 곱하는 수.",
        hidden=True,
    )
    seed: int = option(
        0,
        en="Number that fixes which entries dare drops.",
        ko="dare가 버리는 성분을 정하는 수.",
        ge=0,
        lt=2**63,
    )
    format: FormatOptions = FormatOptions()
    words: EmbeddingOptions = EmbeddingOptions()
    kin: FamilyOptions = FamilyOptions()
    loss: LossOptions = LossOptions()
    file: FileOptions = FileOptions()
    basis: BaseOptions = BaseOptions()
    strength: LawOptions = LawOptions()


@final
class ResizeOptions(AbstractOptions):
    """The options of `lora resize`."""

    source: Path = option(
        en="Adapter to resize.",
        ko="랭크를 바꿀 어댑터.",
    )
    output: Path = option(
        en="File to write, a folder for peft.",
        ko="저장할 파일. peft는 폴더.",
        aliases=("o", "save_to"),
    )
    rank: str = option(
        en="New rank: a number; auto:0.99 for the fewest with that share of the energy at each "
        "weight; or kohya's sv_fro:X, sv_cumulative:X, sv_ratio:X.",
        ko="새 랭크: 수, 가중치마다 에너지의 그 비율을 지키는 최소 랭크 auto:0.99, 또는 kohya의 "
        "sv_fro:X, sv_cumulative:X, sv_ratio:X.",
        aliases=("new_rank",),
    )
    max_rank: int | None = option(
        None,
        en="Highest rank of any weight, whatever the rule asks for.",
        ko="규칙과 상관없이 가중치가 가질 수 있는 가장 높은 랭크.",
        ge=1,
        le=65536,
    )
    format: FormatOptions = FormatOptions()
    kin: FamilyOptions = FamilyOptions()
    loss: LossOptions = LossOptions()
    file: FileOptions = FileOptions()
    basis: BaseOptions = BaseOptions()


@final
class ExtractOptions(AbstractOptions):
    """The options of `lora extract`."""

    tuned: str = option(
        en="Tuned model: a diffusers or transformers folder, a single file, or a name on the hub.",
        ko="미세 조정된 모델: diffusers나 transformers 폴더, 단일 파일, 또는 허브의 이름.",
        aliases=("model_tuned",),
        min_length=1,
    )
    original: str = option(
        en="Model that it was tuned from, of the same layout.",
        ko="그 바탕이 된 모델. 구조가 같아야 합니다.",
        aliases=("model_org", "base"),
        min_length=1,
    )
    output: Path = option(
        en="File to write, a folder for peft.",
        ko="저장할 파일. peft는 폴더.",
        aliases=("o", "save_to"),
    )
    rank: str | None = option(
        None,
        en="Rank of the LoRAs: a number, or auto:0.99 for the fewest with that share of the "
        "energy. Without it the whole difference is kept, which peft and diffusers cannot express.",
        ko="LoRA의 랭크: 수, 또는 에너지의 그 비율을 지키는 최소 랭크 auto:0.99. 지정하지 않으면 "
        "차이를 모두 저장하며, peft와 diffusers 형식으로는 표현할 수 없습니다.",
        aliases=("dim",),
    )
    parts: tuple[str, ...] = option(
        (),
        en="Networks to compare, as unet or text_encoder. Without it, all.",
        ko="비교할 네트워크. 예: unet, text_encoder. 지정하지 않으면 전부입니다.",
    )
    kin: FamilyOptions = FamilyOptions()
    format: FormatOptions = FormatOptions()
    loss: LossOptions = LossOptions()
    file: FileOptions = FileOptions()


@final
class FuseOptions(AbstractOptions):
    """The options of `lora fuse`."""

    base: str = option(
        en="Base model: playground, a diffusers or transformers folder, a single file, or a name "
        "on the hub (OWNER/NAME). It is never written to.",
        ko="기본 모델: playground, diffusers나 transformers 폴더, 단일 파일, 또는 허브의 이름"
        "(소유자/이름). 원본에는 쓰지 않습니다.",
        aliases=("base_model", "model", "pretrained_model_name_or_path"),
        min_length=1,
    )
    adapters: tuple[str, ...] = option(
        en="Adapters with their weights, as FILE:0.7; without a number, 1.",
        ko="어댑터와 가중치. 파일:0.7처럼 적고, 수가 없으면 1입니다.",
        aliases=("models",),
        min_length=1,
    )
    output: Path = option(
        en="What to write: a file for a single-file model, a folder for a folder.",
        ko="저장할 곳: 단일 파일 모델이면 파일, 폴더 모델이면 폴더.",
        aliases=("o", "save_to"),
    )
    blocks: tuple[str, ...] = option(
        (),
        en="Factor on the weights below a name, as unet.down_blocks=0.5, or as "
        "FILE:unet.down_blocks=0.5 for one adapter alone; the longest name counts. Or 12, 17, "
        "20 or 26 numbers with commas, as LoRA Block Weight has them (text encoder first; "
        "blocks that a list leaves out get 0; what is in no block, as conv_out, keeps its weight).",
        ko="이름 아래 가중치에 곱할 수: unet.down_blocks=0.5, 어댑터 하나만이면 "
        "파일:unet.down_blocks=0.5. 가장 긴 이름이 적용됩니다. 또는 LoRA Block Weight처럼 쉼표로 "
        "나눈 수 12, 17, 20, 26개(맨 앞은 텍스트 인코더, 목록에 없는 블록은 0, conv_out처럼 블록이 "
        "아닌 것은 그대로).",
    )
    force: bool = option(
        False,
        en="Replace what exists under the name of the output.",
        ko="출력 이름으로 이미 있는 것을 덮어씁니다.",
        aliases=("overwrite",),
    )
    strength: LawOptions = LawOptions()


@final
class MetadataOptions(AbstractOptions):
    """The options of `lora meta set`."""

    source: Path = option(
        en="File whose header is changed; its tensors stay bit for bit.",
        ko="헤더를 바꿀 파일. 텐서는 비트 단위로 그대로입니다.",
    )
    entries: tuple[str, ...] = option(
        (),
        en="Entries to set, as KEY=TEXT.",
        ko="바꿀 항목. 키=내용.",
    )
    remove: tuple[str, ...] = option(
        (),
        en="Entry to take out.",
        ko="지울 항목.",
    )
    output: Path | None = option(
        None,
        en="File to write; without it the file itself, which takes --force.",
        ko="저장할 파일. 지정하지 않으면 그 파일 자체이며 --force가 필요합니다.",
        aliases=("o",),
    )
    force: bool = option(
        False,
        en="Replace what exists under the name of the output.",
        ko="출력 이름으로 이미 있는 것을 덮어씁니다.",
        aliases=("overwrite",),
    )
