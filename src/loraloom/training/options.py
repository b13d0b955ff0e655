"""The options of training: the adapter that is trained, the optimizer, and how long."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, final

from pydantic import BeforeValidator, model_validator

from loraloom.errors import UsageError
from loraloom.models.options import ClipSkip
from loraloom.options import AbstractOptions, option

Scheduler = Literal["constant", "constant_with_warmup", "linear", "cosine"]


def _module(value: Any) -> Any:
    """Let kohya's module path `networks.lora` stand for `lora`."""
    return value.lower().removeprefix("networks.") if isinstance(value, str) else value


def _none_at_zero(value: Any) -> Any:
    """Let 0 mean "off", as in kohya's files."""
    return None if value in (0, "0", "") else value


@final
class NetworkOptions(AbstractOptions):
    """The shape of one adapter."""

    network_module: Annotated[Literal["lora"], BeforeValidator(_module)] = option(
        "lora",
        en="Kind of adapter; kohya's networks.lora is lora.",
        ko="어댑터 종류. kohya의 networks.lora는 lora와 같습니다.",
        aliases=("kind", "network_kind", "network_type", "lora_type"),
    )
    network_dim: int = option(
        32,
        en="Rank: how much the adapter can hold. Higher learns finer detail, makes a larger file "
        "and overfits sooner.",
        ko="랭크(rank): 어댑터의 용량. 높을수록 세밀하게 배우지만 파일이 커지고 과적합이 "
        "빨라집니다.",
        aliases=("rank", "r", "lora_rank", "linear", "dim"),
        ge=1,
        le=65536,
    )
    network_alpha: float | None = option(
        None,
        en="The update is scaled by alpha / rank; without it, alpha is half the rank.",
        ko="업데이트에 곱하는 배율은 alpha / rank입니다. 지정하지 않으면 랭크의 절반입니다.",
        aliases=("alpha", "lora_alpha", "linear_alpha"),
        gt=0,
    )
    conv_dim: int | None = option(
        None,
        en="Rank of 3x3 convolutions; without it, they are not adapted.",
        ko="3x3 합성곱의 랭크. 지정하지 않으면 합성곱은 학습하지 않습니다.",
        aliases=("conv_rank", "conv"),
        ge=1,
        le=65536,
        hidden=True,
    )
    conv_alpha: float | None = option(
        None,
        en="Alpha of 3x3 convolutions; without it, half of conv_dim.",
        ko="3x3 합성곱의 alpha. 지정하지 않으면 conv_dim의 절반입니다.",
        gt=0,
        hidden=True,
    )
    network_train_unet_only: bool = option(
        False,
        en="Adapt the denoising network alone, not the text encoder.",
        ko="텍스트 인코더는 두고 U-Net만 학습합니다.",
    )
    network_train_text_encoder_only: bool = option(
        False,
        en="Adapt the text encoder alone, not the denoising network.",
        ko="U-Net은 두고 텍스트 인코더만 학습합니다.",
        hidden=True,
    )

    @property
    def alpha(self) -> float:
        """Alpha of linear layers: as given, else half the rank."""
        return self.network_dim / 2 if self.network_alpha is None else self.network_alpha

    @property
    def convolution_alpha(self) -> float | None:
        """Alpha of convolutions: as given, else half their rank; None where none are adapted."""
        if self.conv_dim is None:
            return None
        return self.conv_dim / 2 if self.conv_alpha is None else self.conv_alpha

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.network_train_unet_only and self.network_train_text_encoder_only:
            raise UsageError("training.nothing_left")
        if self.conv_alpha is not None and self.conv_dim is None:
            raise UsageError("training.conv_alpha_alone")
        return self


@final
class OptimizerOptions(AbstractOptions):
    """How the adapter's numbers are moved."""

    learning_rate: float = option(
        1e-4,
        en="Step size. Higher learns faster and breaks sooner.",
        ko="학습률. 높을수록 빨리 배우지만 쉽게 망가집니다.",
        aliases=("lr",),
        ge=0,
    )
    unet_lr: float | None = option(
        None,
        en="Learning rate of the denoising network; without it, learning_rate.",
        ko="U-Net의 학습률. 지정하지 않으면 learning_rate를 씁니다.",
        ge=0,
        hidden=True,
    )
    text_encoder_lr: float | None = option(
        None,
        en="Learning rate of the text encoder; without it, learning_rate.",
        ko="텍스트 인코더의 학습률. 지정하지 않으면 learning_rate를 씁니다.",
        ge=0,
        hidden=True,
    )
    lr_scheduler: Scheduler = option(
        "constant",
        en="Course of the learning rate over the run.",
        ko="학습이 진행되는 동안 학습률이 변하는 방식.",
    )
    lr_warmup_steps: int = option(
        0,
        en="Steps over which the learning rate rises from 0; not with the constant scheduler.",
        ko="학습률이 0에서 올라오는 스텝 수. constant 스케줄러에는 쓸 수 없습니다.",
        unit="steps",
        ge=0,
        le=10**9,
    )
    optimizer_type: Literal["AdamW"] = option(
        "AdamW",
        en="Optimizer.",
        ko="옵티마이저.",
        aliases=("optimizer",),
    )
    weight_decay: float = option(
        0.01,
        en="Pull of every number towards 0 (AdamW); more holds the adapter small.",
        ko="모든 값을 0으로 당기는 힘(AdamW). 클수록 어댑터가 작게 유지됩니다.",
        aliases=("adam_weight_decay",),
        ge=0,
        hidden=True,
    )
    adam_beta1: float = option(
        0.9,
        en="Memory of the mean gradient (AdamW).",
        ko="기울기 평균을 기억하는 정도(AdamW).",
        ge=0,
        lt=1,
        hidden=True,
    )
    adam_beta2: float = option(
        0.999,
        en="Memory of the mean squared gradient (AdamW).",
        ko="기울기 제곱 평균을 기억하는 정도(AdamW).",
        ge=0,
        lt=1,
        hidden=True,
    )
    adam_epsilon: float = option(
        1e-8,
        en="Small number that keeps AdamW from dividing by 0.",
        ko="AdamW가 0으로 나누지 않게 하는 작은 수.",
        gt=0,
        hidden=True,
    )
    max_grad_norm: float = option(
        1.0,
        en="Longer gradients are shortened to this length; 0 leaves them.",
        ko="이보다 긴 기울기는 이 길이로 줄입니다. 0이면 그대로 둡니다.",
        ge=0,
        hidden=True,
    )

    def learning_rate_of(self, part: str) -> float:
        """Return the learning rate of a network by part name ("unet", "text_encoder", …)."""
        own = self.text_encoder_lr if part.startswith("text_encoder") else self.unet_lr
        return self.learning_rate if own is None else own

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.lr_scheduler == "constant" and self.lr_warmup_steps > 0:
            raise UsageError("training.warmup_of_constant", steps=self.lr_warmup_steps)
        return self


@final
class TrainingOptions(AbstractOptions):
    """How much is seen, how long, and what the loss looks at."""

    max_train_steps: int = option(
        1600,
        en="Optimizer steps of the run; max_train_epochs wins where it is given.",
        ko="옵티마이저 스텝 수. max_train_epochs를 지정하면 그쪽이 우선합니다.",
        aliases=("steps",),
        unit="steps",
        ge=1,
        le=10**9,
    )
    max_train_epochs: int | None = option(
        None,
        en="Passes over all pictures with their repeats; sets the number of steps.",
        ko="반복을 포함한 모든 이미지를 보는 횟수(에포크). 스텝 수를 정합니다.",
        aliases=("epochs", "num_train_epochs"),
        unit="epochs",
        ge=1,
        le=10**6,
    )
    train_batch_size: int = option(
        1,
        en="Pictures per forward pass. More is steadier and needs more memory.",
        ko="한 번에 학습하는 이미지 수. 클수록 안정적이지만 메모리를 더 씁니다.",
        aliases=("batch_size", "per_device_train_batch_size"),
        unit="pictures",
        ge=1,
        le=65536,
    )
    gradient_accumulation_steps: int = option(
        1,
        en="Batches gathered into one step: a larger batch without more memory.",
        ko="한 스텝에 모으는 배치 수. 메모리를 늘리지 않고 배치를 키웁니다.",
        aliases=("gradient_accumulation",),
        unit="batches",
        ge=1,
        le=65536,
    )
    seed: int = option(
        42,
        en="Number that fixes every random choice of the run.",
        ko="실행의 모든 무작위 선택을 고정하는 수.",
        ge=0,
        lt=2**63,
    )
    prior_loss_weight: float = option(
        1.0,
        en="Factor of the loss of regularisation pictures.",
        ko="정규화 이미지의 손실에 곱할 값.",
        ge=0,
        hidden=True,
    )
    min_snr_gamma: Annotated[float | None, BeforeValidator(_none_at_zero)] = option(
        None,
        en="Weigh the loss by min(SNR, gamma) / SNR, often 5; without it, all timesteps alike.",
        ko="손실에 min(SNR, gamma) / SNR 가중치를 줍니다(보통 5). 없으면 모든 시점을 같게 봅니다.",
        aliases=("snr_gamma",),
        gt=0,
        hidden=True,
    )
    noise_offset: float = option(
        0.0,
        en="Shift of the noise's mean, often 0.05; helps with very dark and very bright pictures.",
        ko="노이즈 평균의 이동량(보통 0.05). 아주 어둡거나 밝은 그림에 도움이 됩니다.",
        ge=0,
        hidden=True,
    )
    weighted_captions: bool = option(
        False,
        en="Read (word:1.2) in captions as weights, as in prompts of the web UI; (word) is 1.1.",
        ko="캡션의 (단어:1.2)를 웹 UI 프롬프트처럼 가중치로 읽습니다. (단어)는 1.1입니다.",
        hidden=True,
    )
    clip_skip: ClipSkip = 1
