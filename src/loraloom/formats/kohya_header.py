"""The metadata that kohya's trainer writes and web UIs show: `ss_*` and `modelspec.*`."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, final

from loraloom.adapters.card import Card
from loraloom.formats.naming.table import FAMILIES
from loraloom.formats.outline import Layer, Outline


def _truth(text: str) -> bool:
    return {"True": True, "False": False}[text]


@final
@dataclass(frozen=True)
class Field:
    """One `ss_*` key, and where its value is on a card."""

    key: str
    place: Literal["recipe", "facts"]
    name: str
    read: Callable[[str], Any]


FIELDS: Final = (
    Field("ss_learning_rate", "recipe", "learning_rate", float),
    Field("ss_unet_lr", "recipe", "unet_lr", float),
    Field("ss_text_encoder_lr", "recipe", "text_encoder_lr", float),
    Field("ss_lr_scheduler", "recipe", "lr_scheduler", str),
    Field("ss_lr_warmup_steps", "recipe", "lr_warmup_steps", int),
    Field("ss_optimizer", "recipe", "optimizer_type", str),
    Field("ss_max_grad_norm", "recipe", "max_grad_norm", float),
    Field("ss_max_train_steps", "recipe", "max_train_steps", int),
    Field("ss_num_epochs", "recipe", "max_train_epochs", int),
    Field("ss_batch_size_per_device", "recipe", "train_batch_size", int),
    Field("ss_gradient_accumulation_steps", "recipe", "gradient_accumulation_steps", int),
    Field("ss_gradient_checkpointing", "recipe", "gradient_checkpointing", _truth),
    Field("ss_mixed_precision", "recipe", "mixed_precision", str),
    Field("ss_seed", "recipe", "seed", int),
    Field("ss_resolution", "recipe", "resolution", str),
    Field("ss_enable_bucket", "recipe", "enable_bucket", _truth),
    Field("ss_clip_skip", "recipe", "clip_skip", int),
    Field("ss_min_snr_gamma", "recipe", "min_snr_gamma", float),
    Field("ss_noise_offset", "recipe", "noise_offset", float),
    Field("ss_caption_dropout_rate", "recipe", "caption_dropout_rate", float),
    Field("ss_shuffle_caption", "recipe", "shuffle_caption", _truth),
    Field("ss_keep_tokens", "recipe", "keep_tokens", int),
    Field("ss_flip_aug", "recipe", "flip_aug", _truth),
    Field("ss_random_crop", "recipe", "random_crop", _truth),
    Field("ss_color_aug", "recipe", "color_aug", _truth),
    Field("ss_bucket_no_upscale", "recipe", "bucket_no_upscale", _truth),
    Field("ss_min_bucket_reso", "recipe", "min_bucket_reso", int),
    Field("ss_max_bucket_reso", "recipe", "max_bucket_reso", int),
    Field("ss_caption_tag_dropout_rate", "recipe", "caption_tag_dropout_rate", float),
    Field("ss_prior_loss_weight", "recipe", "prior_loss_weight", float),
    Field("ss_steps", "facts", "steps", int),
    Field("ss_epoch", "facts", "epochs", int),
    Field("ss_num_train_images", "facts", "images", int),
    Field("ss_num_reg_images", "facts", "reg_images", int),
    Field("ss_num_batches_per_epoch", "facts", "batches_per_epoch", int),
    Field("ss_session_id", "facts", "session_id", str),
    Field("ss_training_started_at", "facts", "started_at", float),
    Field("ss_training_finished_at", "facts", "finished_at", float),
    Field("ss_training_comment", "facts", "comment", str),
    Field("ss_tag_frequency", "facts", "tag_frequency", json.loads),
    Field("ss_dataset_dirs", "facts", "dataset_dirs", json.loads),
    Field("ss_reg_dataset_dirs", "facts", "reg_dataset_dirs", json.loads),
    Field("ss_bucket_info", "facts", "bucket_info", json.loads),
    Field("ss_datasets", "facts", "datasets", json.loads),
    Field("ss_network_args", "facts", "network_args", json.loads),
)
"""Further keys of a header are facts under their own names, and are written again as they are."""

_OWN: Final = "networks.lora"
_LYCORIS: Final = "lycoris.kohya"
_DECOMPOSED: Final[Mapping[str, str]] = MappingProxyType(
    {"dora": "lora", "doha": "loha", "dokr": "lokr"}
)
_ALGORITHMS: Final[Mapping[str, str]] = MappingProxyType({"oft": "diag-oft"})
"""What LyCORIS calls a kind where that is not our name."""

_NAME: Final = "ss_output_name"
_BASE: Final = "ss_sd_model_name"
_BASE_HASH: Final = "ss_new_sd_model_hash"
_TRIGGERS: Final = "modelspec.trigger_phrase"
_ON_THE_CARD: Final = frozenset({_NAME, _BASE, _BASE_HASH, _TRIGGERS})
_DERIVED: Final = frozenset(
    {
        "ss_network_module",
        "ss_network_dim",
        "ss_network_alpha",
        "ss_base_model_version",
        "ss_v2",
        "sshs_model_hash",
        "sshs_legacy_hash",
        "modelspec.sai_model_spec",
        "modelspec.architecture",
        "modelspec.implementation",
        "modelspec.title",
        "modelspec.hash_sha256",
        "lora_adapter_metadata",
        "format",
    }
)
"""Keys that the tensors, the card or the file format give anew on every writing."""


def foreign_card(metadata: Mapping[str, str], family: str) -> Card:
    """Return the card that another tool's metadata amount to."""
    places: dict[str, dict[str, Any]] = {"recipe": {}, "facts": {}}
    fields = {field.key: field for field in FIELDS}
    for key, text in metadata.items():
        if key in fields:
            field = fields[key]
            places[field.place] |= {field.name: _value(field, text)} if text != "None" else {}
        elif key.rpartition("/")[2] not in _DERIVED | _ON_THE_CARD:
            places["facts"][key] = text
    triggers = metadata.get(_TRIGGERS, "").split(",")
    return Card(
        family=family,
        name=metadata.get(_NAME, ""),
        base=metadata.get(_BASE, ""),
        base_hash=metadata.get(_BASE_HASH, ""),
        triggers=tuple(word for trigger in triggers if (word := trigger.strip())),
        **places,
    )


def kohya_header(outline: Outline, module: str = "") -> dict[str, str]:
    """Return the metadata that kohya's readers expect, and what the card knows beyond.

    `module` is the trainer's module to name; without one, that of the kinds in the file.
    """
    card = outline.card
    places: dict[str, Mapping[str, Any]] = {"recipe": card.recipe, "facts": card.facts}
    header = {
        key: value
        for key, value in card.facts.items()
        if key.startswith(("ss_", "modelspec.")) and isinstance(value, str)
    }
    for field in FIELDS:
        if field.name in places[field.place]:
            header[field.key] = _text(places[field.place][field.name])
    own = {_NAME: card.name, _BASE: card.base, _BASE_HASH: card.base_hash}
    header |= {key: text for key, text in own.items() if text}
    return header | _network(outline, module) | _specification(card)


def _network(outline: Outline, module: str) -> dict[str, str]:
    """Describe ranks and alphas as kohya does, where 3x3 convolutions have their own."""
    layers = outline.layers.values()
    linear = [layer for layer in layers if not layer.is_convolution]
    convolutions = [layer for layer in layers if layer.is_convolution]
    given: Any = outline.card.facts.get("network_args")
    arguments: dict[str, Any] = {**given} if isinstance(given, Mapping) else {}
    arguments.pop("conv_dim", None)
    arguments.pop("conv_alpha", None)
    if convolutions:
        arguments["conv_dim"] = _common(layer.rank or 0 for layer in convolutions)
        arguments["conv_alpha"] = _common(layer.told_alpha for layer in convolutions)
    kinds = {layer.kind for layer in layers}
    module = module or (_OWN if kinds <= {"lora"} else _LYCORIS)
    if module == _LYCORIS:
        arguments = {"algo": _algorithm(kinds), **arguments}
        if any(kind in _DECOMPOSED for kind in kinds):
            arguments |= {"dora_wd": "True"}
    shown: list[Layer] = linear or convolutions
    return {
        "ss_network_module": module,
        "ss_network_dim": _common(layer.rank or 0 for layer in shown),
        "ss_network_alpha": _common(layer.told_alpha for layer in shown),
        "ss_network_args": json.dumps(arguments),
    }


def _specification(card: Card) -> dict[str, str]:
    """Say which model the file is for, in kohya's keys and in Stability AI's modelspec."""
    specification = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.title": card.name or "LoRA",
    }
    if card.triggers:
        specification[_TRIGGERS] = ", ".join(card.triggers)
    if card.family in FAMILIES and FAMILIES[card.family].architecture:
        specification |= FAMILIES[card.family].told
    return specification


def _algorithm(kinds: Collection[str]) -> str:
    """Return LyCORIS's name of the first kind; the others are there by module all the same."""
    kind = next((kind for kind in sorted(kinds) if kind != "full"), "full")
    kind = _DECOMPOSED.get(kind, kind)
    return _ALGORITHMS.get(kind, kind)


def _common(numbers: Iterable[float]) -> str:
    """Return the number that all share; "Dynamic" if they differ, as after kohya's resizing."""
    distinct = set(numbers)
    return str(distinct.pop()) if len(distinct) == 1 else "Dynamic"


def _value(field: Field, text: str) -> Any:
    """Read a value; what is not of the key's usual type stays text."""
    try:
        return field.read(text)
    except (ValueError, KeyError, RecursionError):
        return text


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
