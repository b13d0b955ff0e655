"""Options that several jobs on adapter files have in common."""

from __future__ import annotations

from typing import Annotated, Any, Literal, final

from pydantic import BeforeValidator

from loraloom.options import AbstractOptions, option

Format = Literal["kohya", "lycoris", "peft", "diffusers", "native"]
FamilyName = Literal["auto", "sd1", "sd2", "sdxl", "sd3", "flux", "llama"]
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


def _commas(value: Any) -> Any:
    """Read "bias,norm", alone or in a list; a text without a word stays one, to be refused."""
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, tuple | list):
        return value
    texts: list[str] = [str(text) for text in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return tuple(item for text in texts for item in _items(text))


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()] or [""]


@final
class LossOptions(AbstractOptions):
    """What may be lost where the format has no place for it."""

    lossy: str | None = option(
        None,
        en="Allow the nearest low-rank update where the format cannot express a weight's: "
        "svd:RANK, or svd:auto:0.99 for the fewest ranks with that share of the energy. Its error "
        "is told.",
        ko="형식이 표현하지 못하는 가중치에 가장 가까운 저랭크 변화를 허용합니다: svd:랭크, 또는 "
        "에너지의 그 비율을 지키는 최소 랭크 svd:auto:0.99. 오차를 알려 줍니다.",
    )
    drop: Annotated[tuple[str, ...], BeforeValidator(_commas)] = option(
        (),
        en="Changes to leave out: norm (weights and biases of layers that normalise), bias (the "
        "biases of all others), or both with a comma. How many there were, and their share of the "
        "whole change, is told.",
        ko="뺄 변화: norm(정규화 층의 가중치와 bias), bias(다른 모든 층의 bias), 또는 쉼표로 나눠 "
        "둘 다. 몇 개였고 전체 변화에서 얼마나 되는지 알려 줍니다.",
    )


@final
class FileOptions(AbstractOptions):
    """How an adapter file is written."""

    dtype: NumberType | None = option(
        None,
        en="Number type of the factors; without it they stay as they are, and 8-bit ones become "
        "fp32 where they are computed with. fp16 and bf16 halve the file and round to about 3 and "
        "2 digits.",
        ko="인수의 수 형식. 지정하지 않으면 그대로 두며, 계산에 쓰인 8비트 인수는 fp32가 됩니다. "
        "fp16과 bf16은 파일을 절반으로 줄이고 각각 약 3자리, 2자리로 반올림합니다.",
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
class FamilyOptions(AbstractOptions):
    """The model family, where files leave it open."""

    family: FamilyName = option(
        "auto",
        en="Model family of the files: sd1, sd2, sdxl, sd3, flux, llama, or auto, which tells it "
        "by the weights' names and shapes and by the header. Formats that spell names by family "
        "need it where several are possible; one that the weights cannot be of is an error.",
        ko="파일의 모델 계열: sd1, sd2, sdxl, sd3, flux, llama, 또는 auto(가중치의 이름과 크기, "
        "헤더로 알아냄). 여러 계열이 가능할 때, 계열에 따라 이름을 적는 형식에 필요합니다. "
        "가중치와 맞지 않는 계열은 오류입니다.",
    )

    @property
    def stated(self) -> str:
        """The family that was stated, "" for none."""
        return "" if self.family == "auto" else self.family


@final
class EmbeddingOptions(AbstractOptions):
    """What becomes of token embeddings beside an adapter."""

    embeddings: Literal["keep", "drop", "split"] = option(
        "keep",
        en="Token embeddings (textual inversion) that are bundled with an adapter: keep puts them "
        "into the new file, split writes each as TOKEN.safetensors beside it, as web UIs and "
        "diffusers load them, drop leaves them out and tells which.",
        ko="어댑터에 함께 들어 있는 토큰 임베딩(textual inversion): keep은 새 파일에 담고, split은 "
        "그 옆에 웹 UI와 diffusers가 읽는 토큰.safetensors 파일로 하나씩 저장하며, drop은 빼고 "
        "무엇을 뺐는지 알려 줍니다.",
    )


@final
class BaseOptions(AbstractOptions):
    """The base model, where something depends on its weights."""

    base: str | None = option(
        None,
        en="Base model: playground, a diffusers or transformers folder, a single file, or a name "
        "on the hub (OWNER/NAME). Needed where an adapter's change depends on the base's own "
        "weights (DoRA, OFT, BOFT, IA3, GLoRA); its tensors are read one at a time.",
        ko="기본 모델: playground, diffusers나 transformers 폴더, 단일 파일, 또는 허브의 이름"
        "(소유자/이름). 어댑터의 변화가 기본 모델의 가중치에 달려 있을 때(DoRA, OFT, BOFT, IA3, "
        "GLoRA) 필요합니다. 텐서는 한 번에 하나씩 읽습니다.",
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
