"""Keys that other trainers know and this one does not offer, so that none is dropped in silence.

A key that only asks for what happens anyway is accepted with a note; one that is switched off asks
for nothing; every other is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

Verdict = Literal["off", "held", "refused"]

_OFF: Final = ("", "none", "false", "no", "0", "0.0")


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """A key of sd-scripts or of diffusers' training scripts.

    `flag` says that it stands alone on the command line; `held` names the values that ask for what
    happens anyway (None: all of them); `why` ends the code of the sentence that explains it.
    """

    name: str
    flag: bool
    why: str
    held: tuple[str, ...] | None = ()

    def verdict(self, value: Any) -> Verdict:
        """Tell what a value of this key comes to."""
        word = str(value).lower()
        if self.held is None or word in self.held:
            return "held"
        return "off" if word in _OFF else "refused"


def _flags(why: str, names: str, held: tuple[str, ...] | None = ()) -> Iterable[Foreign]:
    return (Foreign(name=name, flag=True, why=why, held=held) for name in names.split())


def _values(why: str, names: str, held: tuple[str, ...] | None = ()) -> Iterable[Foreign]:
    return (Foreign(name=name, flag=False, why=why, held=held) for name in names.split())


_HELD: Final = (
    *_flags("attention", "xformers sdpa mem_eff_attn", None),
    *_flags("attention", "enable_xformers_memory_efficient_attention", None),
    *_flags("masks", "masked_loss", None),
    *_flags("crop", "center_crop", ("true", "1")),
    *_flags("prior", "with_prior_preservation", None),
    *_flags("workers", "persistent_data_loader_workers", None),
    *_values("workers", "max_data_loader_n_workers dataloader_num_workers", None),
    *_values("workers", "num_cpu_threads_per_process", None),
    *_flags("both_networks", "train_text_encoder", ("true", "1")),
    *_values("safetensors", "save_model_as", ("safetensors",)),
    *_values("once", "lr_scheduler_num_cycles lr_num_cycles", ("1",)),
    *_values("once", "lr_scheduler_power lr_power", ("1", "1.0")),
    *_values("loss", "loss_type", ("l2",)),
    *_values("tokens", "max_token_length", ("75",)),
)

_REFUSED: Final = (
    *_flags("memory", "gradient_checkpointing use_8bit_adam fp8_base full_fp16 full_bf16 lowram"),
    *_values("memory", "blocks_to_swap"),
    *_values("resume", "resume resume_from_checkpoint network_weights"),
    *_flags("resume", "save_state save_state_on_train_end dim_from_weights"),
    *_values("keep", "save_last_n_epochs save_last_n_steps checkpoints_total_limit"),
    *_values("regularisation", "num_class_images"),
    *_values("tracker", "report_to log_with logging_dir log_prefix log_tracker_name wandb_api_key"),
    *_flags("hub", "push_to_hub"),
    *_values("hub", "hub_model_id hub_token huggingface_repo_id huggingface_token"),
    *_values("dataset", "dataset_name dataset_config_name in_json"),
    *_values("dropout", "network_dropout lora_dropout rank_dropout module_dropout"),
    *_values("dropout", "scale_weight_norms"),
    *_values("scheduler", "lr_scheduler_args lr_scheduler_type lr_decay_steps"),
    *_flags("scheduler", "scale_lr"),
    *_values("loss", "huber_c huber_schedule min_timestep max_timestep ip_noise_gamma"),
    *_values("loss", "multires_noise_iterations multires_noise_discount adaptive_noise_scale"),
    *_flags("loss", "debiased_estimation_loss zero_terminal_snr scale_v_pred_loss_like_noise_pred"),
    *_flags("model", "v2 v_parameterization no_half_vae"),
    *_values("model", "vae vae_batch_size revision variant tokenizer_name prediction_type"),
    *_values("samples", "sample_sampler num_validation_images"),
    *_values("metadata", "training_comment metadata_title metadata_author metadata_description"),
    *_values("metadata", "metadata_license metadata_tags"),
    *_flags("metadata", "no_metadata"),
)

FOREIGN: Final[Mapping[str, Foreign]] = MappingProxyType(
    {foreign.name: foreign for foreign in (*_HELD, *_REFUSED)}
)
